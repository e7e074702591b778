use super::*;

const DELAY: SignedDuration = SignedDuration::from_secs(10);
const RUN_FAILED: &str = "\x1b[36mINFO\x1b[0m[0000] Running: [/bin/sh -c exit 42]\n\
    error building image: error building stage: failed to execute command: waiting for process to exit: exit status 42\n";
const UNREACHABLE: &str = "error checking push permissions: checking push permission for \"127.0.0.1:5999/a:1\": \
    creating push check transport for 127.0.0.1:5999 failed: Get \"https://127.0.0.1:5999/v2/\": dial tcp \
    127.0.0.1:5999: connect: connection refused\n";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

fn seen(number: u32, status: Status) -> Seen {
    Seen {
        id: format!("id{number}"),
        name: format!("build-x-{number}"),
        number,
        first: (number > 1).then(|| "id1".to_owned()),
        max_retries: 2,
        timeout: SignedDuration::from_secs(60),
        started_at: Some(at(0)),
        status,
    }
}

fn end(exit_code: i32, log: &str) -> End {
    End {
        exit_code,
        oom_killed: false,
        error: String::new(),
        finished_at: Some(at(5)),
        digest: None,
        log: log.as_bytes().to_vec(),
    }
}

fn ended(number: u32, exit_code: i32, log: &str) -> Seen {
    seen(number, Status::Ended(end(exit_code, log)))
}

fn verdict(seen: &[Seen], now: Timestamp) -> Verdict {
    sighting(seen, DELAY, now).expect("something is seen")
}

fn failure(seen: Seen) -> Failure {
    match verdict(&[seen], at(1000)).sighting.outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("has not failed: {other:?}"),
    }
}

#[test]
fn without_containers_there_is_nothing_to_see() {
    assert_eq!(sighting(&[], DELAY, at(0)), None);
}

#[test]
fn the_exit_code_is_the_verdict() {
    let end = End {
        oom_killed: true,
        ..end(0, "")
    };
    let verdict = verdict(&[seen(1, Status::Ended(end))], at(6));
    assert_eq!(verdict.sighting.outcome, Outcome::Succeeded { digest: None });
    assert!(verdict.sighting.attempts[0].succeeded);
    assert_eq!(verdict.sighting.failed_attempts, 0);
}

#[test]
fn a_failed_step_ends_the_build_at_the_first_attempt() {
    let failure = failure(ended(1, 42, RUN_FAILED));
    assert_eq!(
        (failure.reason, failure.exit_code),
        (Reason::BuildStepFailed, Some(42))
    );
    assert!(
        failure
            .log_snippet
            .is_some_and(|log| log.contains("exit status 42"))
    );
}

#[test]
fn another_attempt_waits_for_its_turn() {
    let first = [ended(1, 1, UNREACHABLE)];
    let early = verdict(&first, at(14));
    assert!(matches!(early.sighting.outcome, Outcome::Waiting { .. }));
    assert_eq!(
        (early.sighting.advice, early.retry_at),
        (Advice::None, Some(at(15)))
    );
    let due = verdict(&first, at(15));
    assert_eq!(
        (due.sighting.advice, due.retry_at),
        (Advice::StartAttempt(2), None)
    );
    assert_eq!(due.sighting.failed_attempts, 1);
}

#[test]
fn the_pause_doubles() {
    let two = [ended(1, 1, UNREACHABLE), ended(2, 1, UNREACHABLE)];
    assert_eq!(verdict(&two, at(6)).retry_at, Some(at(25)));
    assert_eq!(turn(at(0), DELAY, 40), at(360));
}

#[test]
fn retries_have_an_end() {
    let all = [1, 2, 3].map(|number| ended(number, 1, UNREACHABLE));
    let verdict = verdict(&all, at(1000));
    let Outcome::Failed(failure) = verdict.sighting.outcome else {
        panic!("goes on")
    };
    assert_eq!(failure.reason, Reason::RegistryUnavailable);
    assert_eq!(
        (verdict.sighting.failed_attempts, verdict.sighting.advice),
        (3, Advice::None)
    );
    assert_eq!(verdict.sighting.external_id, "id1");
}

#[test]
fn a_build_without_its_first_container_is_still_the_same_build() {
    let second = [seen(
        2,
        Status::Running {
            phase: Phase::Building,
        },
    )];
    assert_eq!(verdict(&second, at(1)).sighting.external_id, "id1");
}

#[test]
fn killed_after_the_timeout_is_timed_out_and_killed_before_is_not() {
    let late = End {
        finished_at: Some(at(60)),
        ..end(137, "")
    };
    let late = failure(seen(1, Status::Ended(late)));
    assert_eq!(late.reason, Reason::TimedOut);
    let early = verdict(&[ended(1, 137, "")], at(6));
    assert_eq!(
        early.sighting.attempts[0].failure.as_ref().map(|f| f.reason),
        Some(Reason::Unknown)
    );
}

#[test]
fn a_killed_build_that_was_short_of_memory_is_not_tried_again() {
    let end = End {
        oom_killed: true,
        ..end(137, "")
    };
    assert_eq!(failure(seen(1, Status::Ended(end))).reason, Reason::OutOfMemory);
}

#[test]
fn a_container_that_cannot_start_says_so() {
    let end = End {
        error: "exec: no such file".into(),
        ..end(127, "")
    };
    assert_eq!(failure(seen(1, Status::Ended(end))).reason, Reason::LaunchFailed);
}

#[test]
fn what_is_made_but_not_started_waits() {
    let verdict = verdict(
        &[Seen {
            started_at: None,
            ..seen(1, Status::Created)
        }],
        at(0),
    );
    assert_eq!(
        verdict.sighting.outcome,
        Outcome::Waiting {
            reason: None,
            message: None
        }
    );
}

#[test]
fn only_what_runs_has_a_deadline() {
    assert_eq!(
        seen(
            1,
            Status::Running {
                phase: Phase::Building
            }
        )
        .deadline(),
        Some(at(60))
    );
    assert_eq!(ended(1, 0, "").deadline(), None);
}
