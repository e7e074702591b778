//! Implements the command line, which uses the REST API as any other client does.

mod build;
mod cancel;
mod context;
mod deliveries;
mod describe;
mod ending;
mod endpoint;
mod events;
mod follow;
mod list;
mod logs;
mod project;
mod queue;
mod rebuild;
#[cfg(test)]
mod samples;
mod screen;
mod settings;
mod show;
mod token;
mod trigger;

use std::{process::ExitCode, str::FromStr};

use clap::Subcommand;

pub use self::{
    build::BuildArgs,
    cancel::CancelArgs,
    deliveries::DeliveriesArgs,
    ending::Ending,
    endpoint::EndpointArgs,
    events::EventsArgs,
    list::BuildsArgs,
    logs::LogsArgs,
    project::ProjectsArgs,
    queue::QueueArgs,
    rebuild::RebuildArgs,
    show::ShowArgs,
    token::{TokenArgs, TokenCommand},
    trigger::TriggerArgs,
};
use self::{ending::Failure, screen::Screen, settings::ServiceArgs};
use crate::domain::{BuildId, Clock};

/// Commands that talk to a running service.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image from a folder, a git repository or a Dockerfile, and push it.
    Build(Box<BuildArgs>),
    /// List builds, newest first.
    #[command(visible_alias = "ls")]
    Builds(BuildsArgs),
    /// Show a build with its attempts and steps.
    Show(ShowArgs),
    /// Print a build's log.
    Logs(LogsArgs),
    /// Print a build's events.
    Events(EventsArgs),
    /// Cancel builds.
    Cancel(CancelArgs),
    /// Build again with the request of an earlier build.
    Rebuild(RebuildArgs),
    /// Show the numbers of queued and running builds, by project.
    Queue(QueueArgs),
    /// Create, list and revoke API tokens.
    Token(TokenArgs),
    /// Manage projects and their limits.
    Project(ProjectsArgs),
    /// Manage triggers, which build what is pushed to a git repository.
    Trigger(TriggerArgs),
    /// Show a trigger's deliveries and the builds they led to, and replay them.
    Deliveries(DeliveriesArgs),
    /// Manage webhook endpoints and their notifications.
    Endpoint(Box<EndpointArgs>),
}

/// A build on the command line: its id, or its Job's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildRef(BuildId);

impl FromStr for BuildRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.parse().ok().or_else(|| BuildId::from_job_name(text));
        id.map(Self)
            .ok_or("is no build's id: write all of it, as `slipway builds` shows it")
    }
}

impl Command {
    fn service(&self) -> &ServiceArgs {
        match self {
            Self::Build(args) => &args.service,
            Self::Builds(args) => &args.service,
            Self::Show(args) => &args.service,
            Self::Logs(args) => &args.service,
            Self::Events(args) => &args.service,
            Self::Cancel(args) => &args.service,
            Self::Rebuild(args) => &args.service,
            Self::Queue(args) => &args.service,
            Self::Token(args) => &args.service,
            Self::Project(args) => &args.service,
            Self::Trigger(args) => &args.service,
            Self::Deliveries(args) => &args.service,
            Self::Endpoint(args) => &args.service,
        }
    }
}

/// Runs a command, and prints the error if it fails.
pub async fn run(command: Command, clock: &dyn Clock) -> ExitCode {
    let mut screen = Screen::new(command.service().color());
    let done = match command {
        Command::Build(args) => build::run(*args, &mut screen).await,
        Command::Builds(args) => list::run(args, clock, &mut screen).await,
        Command::Show(args) => show::run(args, clock, &mut screen).await,
        Command::Logs(args) => logs::run(args, &mut screen).await,
        Command::Events(args) => events::run(args, &mut screen).await,
        Command::Cancel(args) => cancel::run(args, &mut screen).await,
        Command::Rebuild(args) => rebuild::run(args, &mut screen).await,
        Command::Queue(args) => queue::run(args, &mut screen).await,
        Command::Token(args) => token::run(args, clock, &mut screen).await,
        Command::Project(args) => project::run(args, &mut screen).await,
        Command::Trigger(args) => trigger::run(args, &mut screen).await,
        Command::Deliveries(args) => deliveries::run(args, clock, &mut screen).await,
        Command::Endpoint(args) => endpoint::run(*args, clock, &mut screen).await,
    };
    done.map_or_else(|failure| report(&failure, &mut screen), ExitCode::from)
}

fn report(failure: &Failure, screen: &mut Screen) -> ExitCode {
    if let Some(sentence) = failure.sentence() {
        screen.error(&sentence);
    }
    failure.code().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_named_by_its_id_or_its_job() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let by_id: BuildRef = id.parse().expect("an id");
        assert_eq!(format!("build-{id}").parse(), Ok(by_id));
        for bad in ["", "01890a5d", "build-", "../x", "01890A5D"] {
            assert!(bad.parse::<BuildRef>().is_err(), "{bad}");
        }
    }
}
