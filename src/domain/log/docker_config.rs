//! Credentials in a Docker `config.json`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// Returns every secret value of the file: tokens, passwords, and the `auth` entries, encoded and decoded.
/// Empty if the text is not such a file.
pub fn credentials(config: &str) -> Vec<String> {
    let config: Value = serde_json::from_str(config).unwrap_or_default();
    let registries = config["auths"].as_object().into_iter().flatten();
    registries.flat_map(|(_, entry)| of_registry(entry)).collect()
}

fn of_registry(entry: &Value) -> Vec<String> {
    let field = |name: &str| entry[name].as_str().map(str::to_owned);
    let mut secrets: Vec<String> = ["password", "identitytoken", "registrytoken", "auth"]
        .into_iter()
        .filter_map(field)
        .collect();
    let decoded = field("auth")
        .and_then(|auth| STANDARD.decode(auth.trim()).ok())
        .and_then(|pair| String::from_utf8(pair).ok());
    if let Some(pair) = decoded {
        secrets.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
        secrets.push(pair);
    }
    secrets
}
