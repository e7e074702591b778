//! Implements `slipway builds`.

use clap::Args;
use jiff::Timestamp;

use super::{
    describe,
    ending::{Ending, Failure},
    screen::{Cell, Screen, Table, ago},
    settings::{Output, ProjectArgs, ServiceArgs},
};
use crate::{
    client::{Build, BuildFilter},
    domain::{Clock, ImageRepository, State, git::GitRef},
};

/// Arguments of `slipway builds`.
#[derive(Debug, Args)]
pub struct BuildsArgs {
    /// Project option.
    #[command(flatten)]
    project: ProjectArgs,

    /// Builds of all projects, whatever project is configured
    #[arg(long, short = 'A', conflicts_with = "project")]
    all_projects: bool,

    /// Only builds in these states, separated by commas: queued, launching, running, cancelling, succeeded,
    /// failed, cancelled, superseded, expired
    #[arg(long, short, value_delimiter = ',', value_name = "STATE")]
    state: Vec<State>,

    /// Only builds whose first image is in this repository
    #[arg(long, short, value_name = "HOST/PATH")]
    repository: Option<ImageRepository>,

    /// Only builds of this git ref, as the request gave it
    #[arg(long = "ref", value_name = "REF")]
    git_ref: Option<GitRef>,

    /// The number of builds to list, at most, 1 to 100
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100), value_name = "N")]
    limit: u8,

    /// Continue an earlier list: the cursor that it printed at its end
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

pub(super) async fn run(args: BuildsArgs, clock: &dyn Clock, screen: &mut Screen) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    let project = settings.project(&args.project).filter(|_| !args.all_projects);
    let filter = BuildFilter {
        project,
        repository: args.repository,
        states: args.state,
        git_ref: args.git_ref,
        limit: args.limit,
        cursor: args.cursor,
    };
    let page = settings.client.builds(&filter).await?;
    if settings.output == Output::Json {
        screen.result(&page.text)?;
        return Ok(Ending::Done);
    }
    if page.value.builds.is_empty() {
        screen.note("there are no such builds");
        return Ok(Ending::Done);
    }
    screen.result(&table(&page.value.builds, clock.now()))?;
    if let Some(cursor) = &page.value.next_cursor {
        screen.note(&format!("there are older ones: --cursor {cursor}"));
    }
    Ok(Ending::Done)
}

fn table(builds: &[Build], now: Timestamp) -> String {
    let mut table = Table::new(&["ID", "PROJECT", "STATE", "IMAGE", "CREATED", "TOOK"]);
    for build in builds {
        let state = match (&build.failure, &build.phase) {
            (Some(failure), _) => format!("{}: {}", build.state, failure.reason),
            (None, Some(phase)) => format!("{}: {phase}", build.state),
            (None, None) => build.state.to_string(),
        };
        let image = match build.spec.destinations.split_first() {
            Some((first, rest)) if !rest.is_empty() => format!("{first} +{}", rest.len()),
            Some((first, _)) => first.clone(),
            None => String::new(),
        };
        table.add(vec![
            build.id.to_string().into(),
            (&build.project).into(),
            Cell::new(&state, describe::style(build.state)),
            image.into(),
            ago(build.created_at, now).into(),
            describe::took(build, now).into(),
        ]);
    }
    table.draw("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples;

    #[test]
    fn a_list_is_a_table() {
        let builds = [
            samples::succeeded(),
            samples::failed(),
            samples::building(),
            samples::queued(),
        ];
        let drawn = table(&builds, samples::now());
        insta::assert_snapshot!(anstream::adapter::strip_str(&drawn).to_string());
    }
}
