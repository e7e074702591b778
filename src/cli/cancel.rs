//! Implements `slipway cancel`.

use clap::Args;

use super::{
    BuildRef,
    ending::{Ending, Failure},
    screen::Screen,
    settings::{Output, ServiceArgs},
};

/// Arguments of `slipway cancel`.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The builds
    #[arg(required = true, value_name = "ID")]
    ids: Vec<BuildRef>,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

/// Cancels every build of the list; the exit code is that of the first failure.
pub(super) async fn run(args: CancelArgs, screen: &mut Screen) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    let mut failed = None;
    for BuildRef(id) in args.ids {
        match settings.client.cancel(id).await {
            Ok(build) if settings.output == Output::Json => screen.result(&build.text)?,
            Ok(build) => screen.result(&format!("{id} is {}", build.value.state))?,
            Err(error) => {
                let failure = Failure::from(error);
                if let Some(sentence) = failure.sentence() {
                    screen.error(&format!("{id}: {sentence}"));
                }
                failed.get_or_insert(failure);
            }
        }
    }
    failed.map_or(Ok(Ending::Done), |failure| Err(Failure::Said(failure.code())))
}
