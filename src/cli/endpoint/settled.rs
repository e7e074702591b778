//! Defines the arguments that set a webhook endpoint's fields.

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

/// Arguments of `slipway endpoint create`.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The http or https address to call, with POST
    url: CallbackUrl,

    /// Project option.
    #[command(flatten)]
    project: ProjectArgs,

    /// The events to send: build.queued, build.started, build.succeeded, build.failed, build.cancelled or
    /// build.superseded; may be repeated [default: all events of the format]
    #[arg(long = "event", value_delimiter = ',', value_name = "TYPE")]
    events: Vec<EventType>,

    /// The format of bodies: standard, or dockerhub
    #[arg(long, default_value = "standard", value_name = "FORMAT")]
    format: Format,

    /// A note for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Secret option.
    #[command(flatten)]
    secret: SecretArgs,

    /// Create the endpoint disabled: no notifications until it is enabled
    #[arg(long)]
    disabled: bool,
}

/// Option for a secret of the caller's choice.
#[derive(Debug, Args)]
pub(super) struct SecretArgs {
    /// A file with the secret that signs notifications, `whsec_` and 24 to 64 bytes in base64; `-` is
    /// standard input [default: the service generates one]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// Arguments of `slipway endpoint update`.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct UpdateArgs {
    /// The address to call
    #[arg(long)]
    url: Option<CallbackUrl>,

    /// The events to send; may be repeated, and replaces the present list
    #[arg(long = "event", value_delimiter = ',', value_name = "TYPE")]
    events: Vec<EventType>,

    /// The format of bodies: standard, or dockerhub
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// A note for people; empty for none
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Enable the endpoint, and send the notifications that still wait
    #[arg(long, conflicts_with = "disable")]
    enable: bool,

    /// Disable the endpoint
    #[arg(long)]
    disable: bool,
}

impl CreateArgs {
    /// Returns the body of the request.
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
    /// Returns the body of the request: only the fields to change.
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
    /// Adds the secret to a request if one was given.
    pub(super) fn add_to(&self, body: &mut Value) -> Result<(), Failure> {
        if let Some(path) = &self.secret_file {
            body["secret"] = read(path)?.into();
        }
        Ok(())
    }
}

/// Reads a secret, and removes the line break that an editor may have added.
fn read(path: &Path) -> Result<String, Failure> {
    let text = if path.as_os_str() == "-" {
        io::read_to_string(io::stdin())
    } else {
        fs::read_to_string(path)
    };
    text.map(|text| text.trim().to_owned())
        .map_err(|error| Failure::Local(format!("{} cannot be read: {error}", path.display())))
}
