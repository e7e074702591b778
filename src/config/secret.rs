//! Settings of the keys that encrypt secrets in the database.

use std::{fs, path::PathBuf};

use clap::Args;
use secrecy::SecretString;

use super::value;
use crate::domain::keyring::Keyring;

/// Settings of the keys for secrets in the database.
#[derive(Debug, Args)]
#[command(next_help_heading = "Secrets")]
pub struct SecretArgs {
    /// The key that encrypts secrets of webhook endpoints and triggers: 32 bytes in base64 or hex (`openssl
    /// rand -base64 32`). Several are separated by commas: the first encrypts, all decrypt. Without a key,
    /// neither can be created
    #[arg(long, env = "SLIPWAY_SECRET_KEY", hide_env_values = true, value_parser = value::secret, conflicts_with = "secret_key_file", value_name = "KEY,…")]
    pub secret_key: Option<SecretString>,

    /// A file with such keys, one a line
    #[arg(long, env = "SLIPWAY_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
}

impl SecretArgs {
    /// Returns the keys, or `None` if there are none. The error names the setting and contains no key.
    pub fn keyring(&self) -> Result<Option<Keyring>, String> {
        let (setting, text) = match (&self.secret_key, &self.secret_key_file) {
            (Some(key), _) => ("--secret-key".to_owned(), key.clone()),
            (None, Some(path)) => {
                let setting = format!("--secret-key-file={}", path.display());
                let text = fs::read_to_string(path)
                    .map_err(|error| format!("{setting}: cannot be read: {error}"))?;
                (setting, SecretString::from(text))
            }
            (None, None) => return Ok(None),
        };
        Keyring::from_settings(&text)
            .map(Some)
            .map_err(|error| format!("{setting}: {error}"))
    }
}
