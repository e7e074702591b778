//! Implements `slipway show`.

use clap::Args;
use jiff::Timestamp;
use owo_colors::OwoColorize;

use super::{
    BuildRef, describe,
    ending::{Ending, Failure},
    screen::{Screen, Table, ago, between, plain, plain_lines, span},
    settings::{Output, ServiceArgs},
};
use crate::{
    client::{Attempt, Build, Step},
    domain::Clock,
};

/// Arguments of `slipway show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The build
    #[arg(value_name = "ID")]
    id: BuildRef,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

pub(super) async fn run(args: ShowArgs, clock: &dyn Clock, screen: &mut Screen) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    let build = settings.client.build(args.id.0).await?;
    match settings.output {
        Output::Json => screen.result(&build.text)?,
        Output::Text => screen.result(&page(&build.value, clock.now()))?,
    }
    Ok(Ending::Done)
}

fn page(build: &Build, now: Timestamp) -> String {
    let mut lines = Vec::new();
    let mut add = |name: &str, value: String| lines.push(format!("{:<11}{value}", name));
    let progress = if build.state.is_terminal() {
        let outcome = describe::outcome(build);
        outcome.lines().next().unwrap_or_default().to_owned()
    } else {
        describe::progress(build)
    };
    add("Build", build.id.to_string());
    add("Project", plain(&build.project));
    add("State", progress.style(describe::style(build.state)).to_string());
    if let Some(failure) = &build.failure {
        add(
            "Reason",
            format!("{} ({})", plain(&failure.reason), plain(&failure.class)),
        );
    }
    add("Source", describe::source(build));
    add("Dockerfile", dockerfile(build));
    for destination in &build.spec.destinations {
        add("Image", plain(destination));
    }
    if let Some(digest) = &build.digest {
        add("Digest", plain(digest));
    }
    if let Some(old) = build.rebuild_of {
        add("Repeats", old.to_string());
    }
    add("Created", at(build.created_at, now));
    if let Some(started) = build.started_at {
        let waited = span(between(build.created_at, started));
        add("Started", format!("{}, after {waited}", at(started, now)));
    }
    if let Some(finished) = build.finished_at {
        let took = describe::took(build, now);
        let took = if took.is_empty() {
            took
        } else {
            format!(", took {took}")
        };
        add("Finished", format!("{}{took}", at(finished, now)));
    }
    let mut page = lines.join("\n") + "\n";
    page.push_str(&steps(&build.steps));
    page.push_str(&attempts(&build.attempts, now));
    page.push_str(&snippet(build));
    page
}

fn dockerfile(build: &Build) -> String {
    let mut text = plain(&build.spec.dockerfile);
    if let Some(target) = &build.spec.target {
        text.push_str(&format!(", stage {}", plain(target)));
    }
    if let Some(platform) = &build.spec.platform {
        text.push_str(&format!(", for {}", plain(platform)));
    }
    text
}

fn at(moment: Timestamp, now: Timestamp) -> String {
    format!("{:.0} ({})", moment, ago(moment, now))
}

fn steps(steps: &[Step]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["STEP", "TOOK", "INSTRUCTION"]);
    for step in steps {
        let took = step.duration_ms.map_or_else(String::new, |took| {
            #[expect(
                clippy::cast_precision_loss,
                reason = "no step takes so long that a digit is lost"
            )]
            let seconds = took as f64 / 1000.0;
            if took < 60_000 {
                format!("{seconds:.1}s")
            } else {
                span(std::time::Duration::from_millis(took))
            }
        });
        table.add(vec![
            step.number.to_string().into(),
            took.into(),
            (&step.instruction).into(),
        ]);
    }
    format!("\nSteps\n{}", table.draw("  "))
}

fn attempts(attempts: &[Attempt], now: Timestamp) -> String {
    if attempts.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["NUMBER", "STATE", "TOOK", "EXIT", "NODE", "POD OR CONTAINER"]);
    for attempt in attempts {
        let state = serde_json::to_value(attempt.state);
        let state = state.ok().and_then(|name| name.as_str().map(str::to_owned));
        let state = match &attempt.failure {
            Some(failure) => format!("failed: {}", failure.reason),
            None => state.unwrap_or_default(),
        };
        let took = attempt
            .started_at
            .map(|from| span(between(from, attempt.finished_at.unwrap_or(now))));
        table.add(vec![
            attempt.number.to_string().into(),
            state.into(),
            took.unwrap_or_default().into(),
            attempt
                .exit_code
                .map(|code| code.to_string())
                .unwrap_or_default()
                .into(),
            attempt.node.as_deref().unwrap_or_default().into(),
            (&attempt.name).into(),
        ]);
    }
    format!("\nAttempts\n{}", table.draw("  "))
}

fn snippet(build: &Build) -> String {
    let Some(log) = build
        .failure
        .as_ref()
        .and_then(|failure| failure.log_snippet.as_deref())
    else {
        return String::new();
    };
    let lines: Vec<String> = plain_lines(log).map(|line| format!("  {line}")).collect();
    format!("\nThe end of its log\n{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::samples;

    #[test]
    fn a_build_is_shown_with_what_is_known_of_it() {
        let shown = |build: &Build| anstream::adapter::strip_str(&page(build, samples::now())).to_string();
        let pages = [
            samples::failed(),
            samples::building(),
            samples::queued(),
            samples::superseded(),
        ];
        insta::assert_snapshot!(pages.each_ref().map(shown).join("----\n"));
    }
}
