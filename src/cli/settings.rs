//! Resolves the settings of the command line: service, token, project and output.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use etcetera::BaseStrategy;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::ending::Failure;
use crate::{
    client::{Client, base_url},
    domain::ProjectName,
};

const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Options of the service and the output.
#[derive(Debug, Args)]
#[command(next_help_heading = "Service and output")]
pub struct ServiceArgs {
    /// The service's address [default: the configuration file's `server`, else http://127.0.0.1:8080]
    #[arg(long, global = true, env = "SLIPWAY_SERVER", value_parser = base_url, value_name = "URL")]
    server: Option<Url>,

    /// The API token; better set in the environment or the configuration file, which other users cannot read
    #[arg(long, global = true, env = "SLIPWAY_TOKEN", hide_env_values = true, value_parser = secret, value_name = "TOKEN")]
    token: Option<SecretString>,

    /// A TOML file with `server`, `token` and `project` [default: ~/.config/slipway/config.toml]
    #[arg(long, global = true, env = "SLIPWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// The output format: text for people, or the API's JSON (one object a line if there are several)
    #[arg(
        long,
        global = true,
        short,
        value_enum,
        default_value = "text",
        value_name = "FORMAT"
    )]
    output: Output,

    /// The use of colours; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Color,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    Text,
    /// JSON as the API writes it.
    Json,
}

/// Condition for colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// Option that selects the project.
#[derive(Debug, Args)]
pub struct ProjectArgs {
    /// The project [default: the configuration file's `project`, else `default`]
    #[arg(long, short, env = "SLIPWAY_PROJECT", value_name = "PROJECT")]
    pub(super) project: Option<ProjectName>,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Option<String>,
    token: Option<SecretString>,
    project: Option<ProjectName>,
}

/// Resolved settings.
#[derive(Debug)]
pub(super) struct Settings {
    pub client: Client,
    /// Project of the configuration file, for commands that name none.
    pub project: Option<ProjectName>,
    pub output: Output,
}

impl ServiceArgs {
    /// Resolves the settings: options first, then the environment, then the file.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let file = self.file().map_err(Failure::Input)?;
        let server = match (&self.server, file.server) {
            (Some(url), _) => url.clone(),
            (None, named) => {
                let named = named.as_deref().unwrap_or(DEFAULT_SERVER);
                base_url(named).map_err(|reason| Failure::Input(format!("server = {named:?} {reason}")))?
            }
        };
        let given = |token: &SecretString| !token.expose_secret().is_empty();
        let token = self.token.clone().or(file.token).filter(given);
        Ok(Settings {
            client: Client::new(server, token)?,
            project: file.project,
            output: self.output,
        })
    }

    /// Returns the colour choice for a stream.
    pub(super) fn color(&self) -> anstream::ColorChoice {
        match self.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
    }

    fn file(&self) -> Result<File, String> {
        match &self.config {
            Some(path) => read(path)?.ok_or_else(|| format!("there is no {}", path.display())),
            None => Ok(match default_path() {
                Some(path) => read(&path)?.unwrap_or_default(),
                None => File::default(),
            }),
        }
    }
}

impl Settings {
    /// Returns the project of a command: its own, else that of the configuration file.
    pub(super) fn project(&self, named: &ProjectArgs) -> Option<ProjectName> {
        named.project.clone().or_else(|| self.project.clone())
    }

    /// Returns an answer of the API, unchanged for JSON output and indented otherwise.
    pub(super) fn pretty(&self, answer: &str) -> String {
        let laid_out = || {
            let value: serde_json::Value = serde_json::from_str(answer).ok()?;
            serde_json::to_string_pretty(&value).ok()
        };
        match self.output {
            Output::Json => answer.to_owned(),
            Output::Text => laid_out().unwrap_or_else(|| answer.to_owned()),
        }
    }
}

fn default_path() -> Option<PathBuf> {
    let folders = etcetera::base_strategy::Xdg::new().ok()?;
    Some(folders.config_dir().join("slipway/config.toml"))
}

/// Reads the file if it exists. A file with a token must be readable by its owner only.
fn read(path: &Path) -> Result<Option<File>, String> {
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{shown} cannot be read: {error}")),
    };
    // Only the error's message is shown: its other parts quote the line, which may be the token's.
    let file: File = toml::from_str(&text).map_err(|error| format!("{shown}: {}", error.message()))?;
    if file.token.is_some() {
        let found = fs::metadata(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
        if found.permissions().mode() & 0o077 != 0 {
            return Err(format!(
                "{shown} holds a token, and others may read it: chmod 600 {shown}"
            ));
        }
    }
    Ok(Some(file))
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a Result of its parsers")]
fn secret(text: &str) -> Result<SecretString, String> {
    Ok(SecretString::from(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("config.toml");
        fs::write(&path, text).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        (folder, path)
    }

    #[test]
    fn a_file_is_read() {
        let (_folder, path) = file(
            "server = \"http://ci:1\"\ntoken = \"s3cret\"\nproject = \"team\"\n",
            0o600,
        );
        let file = read(&path).expect("it is valid").expect("it is there");
        assert_eq!(file.server.as_deref(), Some("http://ci:1"));
        assert_eq!(file.project.as_ref().map(ProjectName::as_str), Some("team"));
        assert!(!format!("{file:?}").contains("s3cret"), "a token is never shown");
        assert!(read(&path.with_file_name("none")).expect("no error").is_none());
    }

    #[test]
    fn a_token_that_others_may_read_is_refused() {
        let (_folder, path) = file("token = \"s3cret\"", 0o644);
        let said = read(&path).expect_err("it is refused");
        assert!(said.contains("chmod 600") && !said.contains("s3cret"), "{said}");
        let (_folder, path) = file("project = \"team\"", 0o644);
        assert!(read(&path).is_ok(), "without a token it is nobody's secret");
    }

    #[test]
    fn a_bad_file_is_named_and_its_token_is_not_shown() {
        for text in [
            "token = s3cret",
            "tokn = \"s3cret\"",
            "token = [\"s3cret\"]",
            "project = \"S3cret\"",
        ] {
            let (_folder, path) = file(text, 0o600);
            let said = read(&path).expect_err(text);
            assert!(
                said.contains("config.toml") && !said.contains("s3cret"),
                "{text}: {said}"
            );
        }
    }
}
