//! `slipway endpoint`.

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

/// The settings of `slipway endpoint`.
#[derive(Debug, Args)]
pub struct EndpointArgs {
    /// What to do.
    #[command(subcommand)]
    command: EndpointCommand,

    /// The service.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

/// What can be done with endpoints.
#[derive(Debug, Subcommand)]
enum EndpointCommand {
    /// Tell an address of a project's builds, and print the secret that it knows us by, which is shown this once.
    Create(CreateArgs),
    /// List a project's endpoints.
    #[command(visible_alias = "ls")]
    List {
        /// The project.
        #[command(flatten)]
        project: ProjectArgs,
    },
    /// Show an endpoint, as JSON.
    Show {
        /// The endpoint
        id: EndpointId,
    },
    /// Change an endpoint; what is not named stays as it is.
    Update {
        /// The endpoint
        id: EndpointId,
        /// What is to change.
        #[command(flatten)]
        change: UpdateArgs,
    },
    /// Remove endpoints: they are told of nothing any more.
    Delete {
        /// The endpoints
        #[arg(required = true, value_name = "ID")]
        ids: Vec<EndpointId>,
    },
    /// Send an endpoint a notification of nothing, and say whether it took it.
    Test {
        /// The endpoint
        id: EndpointId,
        /// Whether to wait.
        #[command(flatten)]
        waiting: told::WaitArgs,
    },
    /// Give an endpoint a new secret, and print it: it is shown this once.
    Rotate {
        /// The endpoint
        id: EndpointId,
        /// How long notifications are signed with the secret before, too
        #[arg(long, default_value = "24h", value_parser = overlap, value_name = "DURATION")]
        overlap: Duration,
        /// The secret.
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// List what an endpoint was told, newest first, and what came of it.
    Notifications(told::ListArgs),
    /// Send a notification once more, and say whether it was taken.
    Redeliver {
        /// The endpoint
        id: EndpointId,
        /// The notification's number, as `slipway endpoint notifications` shows it
        number: i64,
        /// Whether to wait.
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

/// What is shown once: the secret, and what it belongs to.
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
