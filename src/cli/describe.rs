//! Describes builds in words.

use jiff::Timestamp;
use owo_colors::Style;

use super::screen::{between, plain, seconds, span};
use crate::{
    client::{Build, Place, Step, Waiting},
    domain::State,
};

/// Describes a build's progress: `building, step 3 of 7: RUN make`.
pub(super) fn progress(build: &Build) -> String {
    let state = build.state.to_string();
    match build.state {
        State::Queued => match &build.queue {
            Some(place) => format!("{state}{}", of_place(place)),
            None => state,
        },
        State::Running => {
            let phase = build.phase.as_deref().unwrap_or(&state);
            match (&build.step, &build.waiting) {
                (Some(step), _) => format!("{phase}, {}", of_step(step)),
                (None, Some(waiting)) => match why(waiting) {
                    Some(why) => format!("{phase}: {why}"),
                    None => phase.to_owned(),
                },
                (None, None) => phase.to_owned(),
            }
        }
        _ => state,
    }
}

fn of_place(place: &Place) -> String {
    let mut text = String::new();
    if let Some(position) = place.position {
        let about = if place.estimated { "about " } else { "" };
        text.push_str(&format!(", position {about}{position}"));
    }
    if let Some(eta) = &place.eta {
        let (p50, p90) = (span(seconds(eta.p50_seconds)), span(seconds(eta.p90_seconds)));
        text.push_str(&format!(", done in about {p50} (nine times of ten within {p90})"));
    }
    if let Some(why) = place.waiting_for.as_ref().and_then(why) {
        text.push_str(&format!("; {why}"));
    }
    text
}

/// Returns the cause of a wait, in words.
fn why(waiting: &Waiting) -> Option<String> {
    let why = waiting.message.as_deref().or(waiting.reason.as_deref());
    why.map(|why| plain(why).trim_end_matches('.').to_owned())
}

/// Describes a step: `step 3 of 7: RUN make`.
pub(super) fn of_step(step: &Step) -> String {
    let instruction = plain(&step.instruction);
    match step.total {
        Some(total) => format!("step {} of {total}: {instruction}", step.number),
        None => format!("step {}: {instruction}", step.number),
    }
}

/// Describes the result of a build that has ended; the first line is complete by itself.
pub(super) fn outcome(build: &Build) -> String {
    let mut text = build.state.to_string();
    if let Some(newer) = build.superseded_by {
        text.push_str(&format!(" by build {newer}"));
    }
    if let (Some(from), Some(to)) = (build.started_at, build.finished_at) {
        text.push_str(&format!(" after {}", span(between(from, to))));
    }
    if build.retries > 0 {
        let times = if build.retries == 1 { "attempt" } else { "attempts" };
        text.push_str(&format!(", {} {times} failed", build.retries));
    }
    if let Some(failure) = &build.failure {
        text.push_str(&format!(
            ": {}\n({}, a matter of {})",
            plain(&failure.message),
            plain(&failure.reason),
            whose(&failure.class)
        ));
    }
    if build.state == State::Succeeded {
        for destination in &build.spec.destinations {
            text.push_str(&format!("\n{}", plain(destination)));
        }
        if let Some(digest) = &build.digest {
            text.push_str(&format!("\n{}", plain(digest)));
        }
    }
    text
}

fn whose(class: &str) -> String {
    match class {
        "user" => "the Dockerfile, the source or the request".to_owned(),
        "infrastructure" => "the infrastructure".to_owned(),
        "operator" => "whoever runs the service".to_owned(),
        "policy" => "a limit that was set on purpose".to_owned(),
        other => plain(other),
    }
}

/// Describes the source of a build's context in one line.
pub(super) fn source(build: &Build) -> String {
    let mut parts = Vec::new();
    for (kind, fields) in &build.spec.source {
        parts.push(kind.clone());
        for name in ["url", "claim", "context_id", "ref", "commit", "path", "sub_path"] {
            if let Some(value) = fields.get(name).and_then(|value| value.as_str()) {
                parts.push(plain(value));
            }
        }
    }
    parts.join(" ")
}

/// Returns the time that a build took, or has taken so far.
pub(super) fn took(build: &Build, now: Timestamp) -> String {
    let Some(from) = build.started_at else {
        return String::new();
    };
    span(between(from, build.finished_at.unwrap_or(now)))
}

/// Returns a state's colour.
pub(super) fn style(state: State) -> Style {
    match state {
        State::Succeeded => Style::new().green(),
        State::Failed => Style::new().red(),
        State::Launching | State::Running => Style::new().cyan(),
        State::Queued => Style::new().yellow(),
        State::Cancelling | State::Cancelled | State::Superseded | State::Expired => Style::new().dimmed(),
    }
}
