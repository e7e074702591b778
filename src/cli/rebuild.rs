//! Implements `slipway rebuild`.

use clap::Args;

use super::{
    BuildRef,
    build::{FollowArgs, settle},
    ending::{Ending, Failure},
    follow::Interrupts,
    screen::Screen,
    settings::ServiceArgs,
};

/// Arguments of `slipway rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// The build to repeat
    #[arg(value_name = "ID")]
    id: BuildRef,

    /// Options for following the new build.
    #[command(flatten)]
    follow: FollowArgs,

    /// Print only the build's id, or its log
    #[arg(long, short)]
    quiet: bool,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

pub(super) async fn run(args: RebuildArgs, screen: &mut Screen) -> Result<Ending, Failure> {
    screen.be_quiet(args.quiet);
    let settings = args.service.settings()?;
    let mut interrupts = Interrupts::listen()?;
    let created = tokio::select! {
        created = settings.client.rebuild(args.id.0) => created?,
        () = interrupts.next() => {
            screen.note("interrupted before the build was queued");
            return Ok(Ending::Interrupted);
        }
    };
    settle(&settings, screen, &mut interrupts, created, &args.follow).await
}
