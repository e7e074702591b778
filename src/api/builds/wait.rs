//! `Prefer: wait`: an answer that is put off until there is something new to say.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::read::{existing, tagged};
use crate::{
    api::{ApiState, caller::Caller, problem::Problem},
    domain::BuildId,
};

/// The longest wait: proxies give connections up that are silent for longer.
pub(in crate::api) const LONGEST: Duration = Duration::from_secs(60);
/// How often a build is read whole while nothing is known to have changed: its place in the queue may have.
const WHOLE: Duration = Duration::from_secs(5);

const PREFER: HeaderName = HeaderName::from_static("prefer");
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The wait that a client prefers, if it prefers one: `wait=10`, by RFC 7240. What cannot be understood is ignored.
pub(super) fn preferred(headers: &HeaderMap) -> Option<Duration> {
    let wait = headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split(';').next()?.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?;
    let seconds = wait.1.trim().trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// Answers when the build is not as the client knows it (`If-None-Match`), or has ended; at the latest after `wait`.
pub(super) async fn answer(
    state: &ApiState,
    caller: &Caller,
    id: BuildId,
    headers: &HeaderMap,
    wait: Duration,
) -> Result<Response, Problem> {
    let place = state.waits.open("wait", caller.session())?;
    let until = Instant::now() + wait;
    let mut changes = state.store.watch_build(id);
    loop {
        let build = existing(state, caller, id).await?;
        let (ended, version) = (build.state.is_terminal(), build.version);
        let tagged = tagged(state, build).await?;
        let news = headers.contains_key(http::header::IF_NONE_MATCH) && !tagged.is_known(headers);
        if ended || news || Instant::now() >= until || place.has_to_end() {
            let applied = format!("wait={}", wait.as_secs());
            let applied = HeaderValue::try_from(applied).expect("a number makes a header's value");
            return Ok(([(APPLIED, applied)], tagged.unless_known(headers)).into_response());
        }
        let whole = until.min(Instant::now() + WHOLE);
        loop {
            tokio::select! {
                () = changes.changed() => {}
                () = tokio::time::sleep_until(whole) => break,
                ended = place.ends() => {
                    ended?;
                    break;
                }
            }
            // Waiting is to cost little: only a build that has changed is read whole.
            if state.store.build_version(id).await? != Some(version) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_found_among_other_preferences_and_bounded() {
        let wait = |values: &[&'static str]| {
            let headers = values
                .iter()
                .map(|value| (PREFER, HeaderValue::from_static(value)));
            preferred(&headers.collect()).map(|wait| wait.as_secs())
        };
        assert_eq!(wait(&["wait=10"]), Some(10));
        assert_eq!(wait(&["respond-async, Wait = \"7\"; x=y"]), Some(7));
        assert_eq!(wait(&["return=minimal", "wait=3, wait=9"]), Some(3));
        assert_eq!(wait(&["wait=99999999999"]), Some(60));
        for ignored in [
            "",
            "wait",
            "wait=",
            "wait=soon",
            "wait=-1",
            "waiting=1",
            "wait=1.5",
        ] {
            assert_eq!(wait(&[ignored]), None, "{ignored}");
        }
    }
}
