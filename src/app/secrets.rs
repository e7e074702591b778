//! The secrets that the operator's settings name, which no log may show.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    config::{LauncherKind, ServeArgs},
    domain::log::{Known, credentials},
};

/// The most that a file of secrets may hold: each byte of it costs some of memory.
const MOST: u64 = 1 << 20;

/// All of them. A file of values that cannot be read is an error, since logs would show what they must not.
pub(super) fn known(args: &ServeArgs) -> Result<Known> {
    let mut values = Vec::new();
    if let Some(path) = &args.dispatch.log_mask_file {
        let text = read(path).with_context(|| format!("--log-mask-file={}", path.display()))?;
        values.extend(text.lines().map(str::to_owned));
    }
    if let Some(path) = args
        .engine
        .docker_config
        .as_ref()
        .filter(|_| args.launcher == LauncherKind::Engine)
    {
        match read(path) {
            Ok(config) => values.extend(credentials(&config)),
            // Builds that need it will say so; there is nothing in it then that a log could show.
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %error, "the registry credentials cannot be read")
            }
        }
    }
    Ok(Known::new(values))
}

fn read(path: &Path) -> Result<String> {
    let size = fs::metadata(path).context("cannot be read")?.len();
    ensure!(size <= MOST, "has more than {MOST} bytes");
    fs::read_to_string(path).context("cannot be read as text")
}
