//! What is settled of an endpoint, on the command line.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{
        ending::Failure,
        settings::{ProjectArgs, Settings},
    },
    domain::endpoint::{CallbackUrl, EventType, Format},
};

/// The settings of `slipway endpoint create`.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What is called, with POST: an http or https address
    url: CallbackUrl,

    /// The project.
    #[command(flatten)]
    project: ProjectArgs,

    /// What it is told of: build.queued, build.started, build.succeeded, build.failed, build.cancelled or
    /// build.superseded; may be repeated [default: everything that its format can tell]
    #[arg(long = "event", value_delimiter = ',', value_name = "TYPE")]
    events: Vec<EventType>,

    /// How bodies are written: standard, or dockerhub
    #[arg(long, default_value = "standard", value_name = "FORMAT")]
    format: Format,

    /// A note for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// The secret.
    #[command(flatten)]
    secret: SecretArgs,

    /// Tell it of nothing until it is enabled
    #[arg(long)]
    disabled: bool,
}

/// A secret of one's own.
#[derive(Debug, Args)]
pub(super) struct SecretArgs {
    /// A file with the secret that notifications are signed with, `whsec_` and 24 to 64 bytes in base64; `-` is standard
    /// input [default: the service makes one]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// The settings of `slipway endpoint update`.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct UpdateArgs {
    /// What is called
    #[arg(long)]
    url: Option<CallbackUrl>,

    /// What it is told of; may be repeated, and replaces all that was named
    #[arg(long = "event", value_delimiter = ',', value_name = "TYPE")]
    events: Vec<EventType>,

    /// How bodies are written: standard, or dockerhub
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// A note for people; empty for none
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Tell it of builds again, and of what still waits for it
    #[arg(long, conflicts_with = "disable")]
    enable: bool,

    /// Tell it of nothing
    #[arg(long)]
    disable: bool,
}

impl CreateArgs {
    /// The endpoint that is wanted.
    pub(super) fn body(self, settings: &Settings) -> Result<Value, Failure> {
        let mut body = json!({ "url": self.url, "format": self.format, "enabled": !self.disabled });
        if let Some(project) = settings.project(&self.project) {
            body["project"] = json!(project);
        }
        if !self.events.is_empty() {
            body["events"] = json!(self.events);
        }
        if let Some(description) = self.description {
            body["description"] = description.into();
        }
        self.secret.add_to(&mut body)?;
        Ok(body)
    }
}

impl UpdateArgs {
    /// The change that is wanted.
    pub(super) fn body(self) -> Value {
        let mut body = json!({});
        if let Some(url) = self.url {
            body["url"] = json!(url);
        }
        if !self.events.is_empty() {
            body["events"] = json!(self.events);
        }
        if let Some(format) = self.format {
            body["format"] = json!(format);
        }
        if let Some(description) = self.description {
            body["description"] = description.into();
        }
        if self.enable || self.disable {
            body["enabled"] = self.enable.into();
        }
        body
    }
}

impl SecretArgs {
    /// Adds the secret to a request, where one was given.
    pub(super) fn add_to(&self, body: &mut Value) -> Result<(), Failure> {
        if let Some(path) = &self.secret_file {
            body["secret"] = read(path)?.into();
        }
        Ok(())
    }
}

/// Reads a secret, which an editor may have ended with a line break.
fn read(path: &Path) -> Result<String, Failure> {
    let text = if path.as_os_str() == "-" {
        io::read_to_string(io::stdin())
    } else {
        fs::read_to_string(path)
    };
    text.map(|text| text.trim().to_owned())
        .map_err(|error| Failure::Local(format!("{} cannot be read: {error}", path.display())))
}
