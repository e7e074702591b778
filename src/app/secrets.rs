//! Reads the secrets in the operator's settings, which logs must not show.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    config::{LauncherKind, ServeArgs},
    domain::log::{Known, credentials},
};

/// Largest size in bytes of a file of secrets: each of its bytes costs several of memory.
const MOST: u64 = 1 << 20;

/// Returns the secrets to mask. An unreadable file of values is an error, since logs would show them.
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
            // Builds that need the file will fail with the reason; without it, no log can show its content.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser;

    use super::*;
    use crate::{
        config::{Cli, Command},
        domain::log::Masker,
    };

    fn serve(settings: &[String]) -> ServeArgs {
        let database = "--database-url=postgres://db/slipway".to_owned();
        let arguments = ["slipway".to_owned(), "serve".to_owned(), database];
        match Cli::parse_from(arguments.iter().chain(settings)).command {
            Command::Serve(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_settings_name_is_masked() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (values, config) = (folder.path().join("values"), folder.path().join("config.json"));
        fs::write(&values, "first value\n\n1\nsecond value\n").expect("it can be written");
        let auths = r#"{"auths": {"registry.example": {"auth": "cm9ib3Q6aHVudGVyMjI="}}}"#;
        fs::write(&config, auths).expect("it can be written");
        let settings = [
            "--launcher=engine".to_owned(),
            format!("--log-mask-file={}", values.display()),
            format!("--docker-config={}", config.display()),
        ];
        let known = known(&serve(&settings)).expect("both can be read");
        let masker = Masker::new(Arc::new(known), Known::default());
        assert_eq!(
            masker.text("1: first value, second value, hunter22 of robot 7"),
            "1: ***, ***, *** of robot 7"
        );
    }

    #[test]
    fn a_file_of_values_that_cannot_be_read_is_an_error() {
        let settings = ["--log-mask-file=/nowhere/values".to_owned()];
        let error = known(&serve(&settings)).expect_err("it is not there");
        assert!(
            format!("{error:#}").contains("--log-mask-file=/nowhere/values: cannot be read"),
            "{error:#}"
        );
        let settings = [
            "--launcher=engine".to_owned(),
            "--docker-config=/nowhere/config.json".to_owned(),
        ];
        known(&serve(&settings)).expect("builds that need it will say so");
    }
}
