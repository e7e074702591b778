//! Implements `slipway endpoint`.

mod settled;
mod told;

use std::time::Duration;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::json;

use self::settled::{CreateArgs, SecretArgs, UpdateArgs};
use super::{
    ending::{Ending, Failure},
    screen::{Screen, Table, ago},
    settings::{Output, ProjectArgs, ServiceArgs, Settings},
    trigger::{missing, overlap},
};
use crate::{
    client::{Endpoint, Json},
    domain::{Clock, EndpointId},
};

/// Arguments of `slipway endpoint`.
#[derive(Debug, Args)]
pub struct EndpointArgs {
    /// Subcommand to run.
    #[command(subcommand)]
    command: EndpointCommand,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

/// Subcommands of `slipway endpoint`.
#[derive(Debug, Subcommand)]
enum EndpointCommand {
    /// Create a webhook endpoint for a project, and print its signing secret, which is shown only now.
    Create(CreateArgs),
    /// List a project's webhook endpoints.
    #[command(visible_alias = "ls")]
    List {
        /// Project option.
        #[command(flatten)]
        project: ProjectArgs,
    },
    /// Show a webhook endpoint, as JSON.
    Show {
        /// The webhook endpoint
        id: EndpointId,
    },
    /// Change a webhook endpoint; options that are not given leave it as it is.
    Update {
        /// The webhook endpoint
        id: EndpointId,
        /// Fields to change.
        #[command(flatten)]
        change: UpdateArgs,
    },
    /// Delete webhook endpoints.
    Delete {
        /// The webhook endpoints
        #[arg(required = true, value_name = "ID")]
        ids: Vec<EndpointId>,
    },
    /// Send a test notification, and report whether the endpoint accepted it.
    Test {
        /// The webhook endpoint
        id: EndpointId,
        /// Option for the time to wait.
        #[command(flatten)]
        waiting: told::WaitArgs,
    },
    /// Replace a webhook endpoint's secret, and print the new one, which is shown only now.
    Rotate {
        /// The webhook endpoint
        id: EndpointId,
        /// The time for which notifications are also signed with the old secret
        #[arg(long, default_value = "24h", value_parser = overlap, value_name = "DURATION")]
        overlap: Duration,
        /// Secret option.
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// List a webhook endpoint's notifications with their delivery attempts, newest first.
    Notifications(told::ListArgs),
    /// Send a notification again, and report whether the endpoint accepted it.
    Redeliver {
        /// The webhook endpoint
        id: EndpointId,
        /// The notification's number, as `slipway endpoint notifications` shows it
        number: i64,
        /// Option for the time to wait.
        #[command(flatten)]
        waiting: told::WaitArgs,
    },
}

pub(super) async fn run(
    args: EndpointArgs,
    clock: &dyn Clock,
    screen: &mut Screen,
) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    let client = &settings.client;
    match args.command {
        EndpointCommand::Create(args) => {
            let wanted = args.body(&settings)?;
            secret(&client.create_endpoint(&wanted).await?, &settings, screen)?;
        }
        EndpointCommand::List { project } => list(&project, &settings, clock, screen).await?,
        EndpointCommand::Show { id } => {
            let endpoint = client.endpoint(id).await.map_err(missing("endpoint"))?;
            screen.result(&settings.pretty(&endpoint.text))?;
        }
        EndpointCommand::Update { id, change } => {
            let changed = client.change_endpoint(id, &change.body()).await;
            let changed = changed.map_err(missing("endpoint"))?;
            screen.result(&settings.pretty(&changed.text))?;
        }
        EndpointCommand::Delete { ids } => {
            for id in ids {
                client.remove_endpoint(id).await.map_err(missing("endpoint"))?;
                screen.note(&format!("{id} is removed"));
            }
        }
        EndpointCommand::Test { id, waiting } => {
            let sent = client.test_endpoint(id).await.map_err(missing("endpoint"))?;
            return told::came_of(id, sent, waiting, &settings, screen).await;
        }
        EndpointCommand::Rotate {
            id,
            overlap,
            secret: given,
        } => {
            let mut rotation = json!({ "overlap_seconds": overlap.as_secs() });
            given.add_to(&mut rotation)?;
            let rotated = client.rotate_endpoint_secret(id, &rotation).await;
            secret(&rotated.map_err(missing("endpoint"))?, &settings, screen)?;
        }
        EndpointCommand::Notifications(args) => told::list(&args, &settings, clock, screen).await?,
        EndpointCommand::Redeliver { id, number, waiting } => {
            let sent = client.redeliver(id, number).await;
            let sent = sent.map_err(missing("notification"))?;
            return told::came_of(id, sent, waiting, &settings, screen).await;
        }
    }
    Ok(Ending::Done)
}

/// Prints the endpoint's id and its secret, which the service shows only once.
fn secret(made: &Json<Endpoint>, settings: &Settings, screen: &mut Screen) -> Result<(), Failure> {
    if settings.output == Output::Json {
        return Ok(screen.result(&made.text)?);
    }
    let endpoint = &made.value;
    screen.note(&format!(
        "{} is called from now on; the secret is shown this once",
        endpoint.url
    ));
    let secret = endpoint.secret.as_ref().map(ExposeSecret::expose_secret);
    let secret = secret.unwrap_or_default();
    Ok(screen.result(&format!("id:     {}\nsecret: {secret}\n", endpoint.id))?)
}

async fn list(
    project: &ProjectArgs,
    settings: &Settings,
    clock: &dyn Clock,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let project = settings.project(project);
    let mut table = Table::new(&["ID", "URL", "FORMAT", "STATE", "EVENTS"]);
    let mut cursor = None;
    loop {
        let page = settings
            .client
            .endpoints(project.as_ref(), cursor.as_deref())
            .await?;
        if settings.output == Output::Json {
            screen.result(&page.text)?;
        }
        for endpoint in &page.value.endpoints {
            table.add(vec![
                endpoint.id.to_string().into(),
                (&endpoint.url).into(),
                (&endpoint.format).into(),
                state(endpoint, clock).into(),
                endpoint.events.join(" ").into(),
            ]);
        }
        cursor = page.value.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if settings.output == Output::Text {
        screen.result(&table.draw(""))?;
    }
    Ok(())
}

fn state(endpoint: &Endpoint, clock: &dyn Clock) -> String {
    match (&endpoint.disabled_reason, endpoint.failing_since) {
        (Some(reason), _) if !endpoint.enabled => format!("off: {reason}"),
        _ if !endpoint.enabled => "off".to_owned(),
        (_, Some(since)) => format!("failing, since {}", ago(since, clock.now())),
        _ => "on".to_owned(),
    }
}
