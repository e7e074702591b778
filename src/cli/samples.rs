//! Provides sample builds for tests, in the form in which the service writes them.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::client::Build;

/// Returns the present time of the tests.
pub(super) fn now() -> Timestamp {
    "2026-11-24T10:00:00Z".parse().expect("a moment")
}

fn build(number: u8, changes: Value) -> Build {
    let mut build = json!({
        "id": format!("01890a5d-ac96-774b-bcce-b302099a80{number:02}"),
        "project": "demo", "state": "queued", "phase": null, "waiting": null,
        "spec": {
            "project": "demo",
            "source": {"git": {"url": "https://git.example.com/app.git", "ref": "main", "sub_path": "server"}},
            "dockerfile": "Dockerfile",
            "destinations": ["registry.example.com/team/app:1"],
            "cache": {"enabled": false}, "priority": 0, "timeout_seconds": 3600, "max_retries": 3, "resources": {},
            "something_new": 1,
        },
        "rebuild_of": null, "created_at": "2026-11-24T09:57:30.123456Z", "started_at": null, "finished_at": null,
        "cancel_requested_at": null, "retries": 0, "digest": null, "failure": null,
    });
    let (Some(build), Value::Object(changes)) = (build.as_object_mut(), changes) else {
        unreachable!("both are objects");
    };
    build.extend(changes);
    serde_json::from_value(Value::Object(build.clone())).expect("the service's answer")
}

pub(super) fn queued() -> Build {
    build(
        1,
        json!({"queue": {
            "position": 4, "ahead": 3, "estimated": true, "eta": {"p50_seconds": 95, "p90_seconds": 300.5},
            "waiting_for": {"kind": "project_limit", "message": "All slots of its project, 10 in number, are in use.", "retry_at": null},
        }}),
    )
}

pub(super) fn superseded() -> Build {
    build(
        4,
        json!({
            "state": "superseded", "superseded_by": "01890a5d-ac96-774b-bcce-b302099a8005",
            "finished_at": "2026-11-24T09:58:30Z",
        }),
    )
}

pub(super) fn building() -> Build {
    build(
        2,
        json!({
            "state": "running", "phase": "building", "started_at": "2026-11-24T09:58:00Z",
            "step": {"number": 2, "total": 3, "instruction": "RUN make"},
            "steps": [
                {"number": 1, "instruction": "COPY . .", "started_at": "2026-11-24T09:58:01Z", "duration_ms": 1234},
                {"number": 2, "instruction": "RUN make", "started_at": "2026-11-24T09:58:02Z", "duration_ms": null},
            ],
            "attempts": [{
                "number": 1, "name": "build-x-1", "state": "running", "node": "node-a", "exit_code": null,
                "started_at": "2026-11-24T09:58:00Z", "finished_at": null, "failure": null, "log_bytes": 5,
            }],
        }),
    )
}

pub(super) fn succeeded() -> Build {
    build(
        3,
        json!({
            "state": "succeeded", "started_at": "2026-11-24T08:00:00Z", "finished_at": "2026-11-24T08:01:30Z",
            "created_at": "2026-11-24T07:59:00Z", "digest": format!("sha256:{}", "a".repeat(64)),
        }),
    )
}

pub(super) fn failed() -> Build {
    let failure = json!({
        "reason": "build_step_failed", "class": "user", "retryable": false, "exit_code": 42,
        "message": "`RUN make` failed with exit status 42",
        "log_snippet": "make: *** No targets.  Stop.\n\u{1b}[31merror\u{1b}[0m building image",
    });
    build(
        4,
        json!({
            "state": "failed", "started_at": "2026-11-22T08:00:00Z", "finished_at": "2026-11-22T08:00:09Z",
            "created_at": "2026-11-22T07:59:58Z", "retries": 1, "failure": failure,
            "rebuild_of": "01890a5d-ac96-774b-bcce-b302099a8001",
            "attempts": [{
                "number": 1, "name": "build-x-1", "state": "failed", "node": null, "exit_code": 42,
                "started_at": "2026-11-22T08:00:00Z", "finished_at": "2026-11-22T08:00:09Z",
                "failure": failure, "log_bytes": 5,
            }],
        }),
    )
}
