//! Every recorded case, classified.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use slipway::launcher::classify::{ClassifyArgs, run};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kubernetes")
}

fn classify(case: &str) -> Value {
    let file = |end: &str| Some(fixtures().join(format!("{case}.{end}"))).filter(|path| path.exists());
    let args = ClassifyArgs {
        job: file("job.yaml").expect("every case has a Job's file"),
        pod: file("pod.yaml").into_iter().collect(),
        events: file("events.yaml").into_iter().collect(),
        log: file("log").into_iter().collect(),
    };
    let answer = run(&args).unwrap_or_else(|error| panic!("{case}: {error:#}"));
    serde_json::from_str(&answer).expect("the answer is JSON")
}

/// Case, state, reason, exit code, words that the message must have.
type Case = (
    &'static str,
    &'static str,
    Option<&'static str>,
    Option<i32>,
    &'static str,
);

const CASES: [Case; 38] = [
    // The pod is gone with its log's place; the log that was followed is not.
    (
        "backoff-1-onfailure",
        "failed",
        Some("build_step_failed"),
        Some(42),
        "`RUN echo about to fail; echo oops >&2; exit 42`",
    ),
    (
        "backoff-2-never",
        "failed",
        Some("build_step_failed"),
        Some(42),
        "failed with exit status 42",
    ),
    (
        "bad-dockerfile",
        "failed",
        Some("dockerfile_invalid"),
        Some(1),
        "unknown instruction: RNU",
    ),
    (
        "command-missing",
        "failed",
        Some("launch_failed"),
        Some(128),
        "/kaniko/nosuch",
    ),
    // Its container goes on without containerd; nothing has changed as far as anybody can see.
    ("containerd-killed", "running", None, None, ""),
    (
        "destination-invalid",
        "failed",
        Some("push_failed"),
        Some(1),
        "Team/App",
    ),
    (
        "destination-refused",
        "failed",
        Some("registry_unavailable"),
        Some(1),
        "connection refused",
    ),
    (
        "destination-refused-late",
        "failed",
        Some("registry_unavailable"),
        Some(1),
        "connection refused",
    ),
    (
        "failure-policy-137",
        "failed",
        Some("build_step_failed"),
        Some(42),
        "exit status 42",
    ),
    (
        "git-missing",
        "failed",
        Some("source_not_found"),
        Some(1),
        "repository not found",
    ),
    (
        "hostpath-missing",
        "waiting",
        Some("config_missing"),
        None,
        "/srv/contexts/nosuch is not a directory",
    ),
    (
        "image-missing",
        "waiting",
        Some("builder_image_unavailable"),
        None,
        "team/nokaniko:1: not found",
    ),
    // The condition decides, whatever it waited for; the message says what that was.
    (
        "image-missing-deadline",
        "failed",
        Some("timed_out"),
        None,
        "team/nokaniko:1: not found",
    ),
    (
        "image-name-invalid",
        "waiting",
        Some("builder_image_unavailable"),
        None,
        "must be lowercase",
    ),
    (
        "image-never",
        "waiting",
        Some("builder_image_unavailable"),
        None,
        "pull policy of Never",
    ),
    (
        "job-deadline",
        "failed",
        Some("timed_out"),
        None,
        "timeout of 6 seconds",
    ),
    ("job-deleted-background", "failed", Some("job_lost"), None, "gone"),
    ("job-deleted-foreground", "failed", Some("job_lost"), None, "gone"),
    // It goes on building, and may push.
    ("job-deleted-orphan", "running", None, None, "its pod still runs"),
    ("kubelet-stopped", "running", None, None, "its pod still runs"),
    ("no-caps", "succeeded", None, Some(0), ""),
    (
        "no-dockerfile",
        "failed",
        Some("dockerfile_missing"),
        Some(1),
        "valid path to a Dockerfile",
    ),
    (
        "no-serviceaccount",
        "waiting",
        Some("config_missing"),
        None,
        "serviceaccount \"nosuch\" not found",
    ),
    ("noisy-log", "succeeded", None, Some(0), ""),
    // The Dockerfile is there and cannot be read.
    (
        "non-root",
        "failed",
        Some("unknown"),
        Some(1),
        "operation not permitted",
    ),
    ("ok", "succeeded", None, Some(0), ""),
    ("oom-executor", "succeeded", None, Some(0), ""),
    (
        "oom-executor-start",
        "failed",
        Some("out_of_memory"),
        Some(137),
        "memory",
    ),
    ("oom-in-run", "failed", Some("out_of_memory"), Some(137), "memory"),
    // Nothing is left but the Job's word that its pod failed.
    (
        "pod-deleted",
        "failed",
        Some("unknown"),
        None,
        "none of its pods is left",
    ),
    ("pod-deleted-backoff1", "running", None, None, ""),
    (
        "push-no-credentials",
        "failed",
        Some("registry_unauthorized"),
        Some(1),
        "authentication required",
    ),
    (
        "quota",
        "waiting",
        Some("quota_exceeded"),
        None,
        "exceeded quota: q",
    ),
    (
        "read-only-rootfs",
        "failed",
        Some("unknown"),
        Some(1),
        "read-only file system",
    ),
    (
        "run-exit-42",
        "failed",
        Some("build_step_failed"),
        Some(42),
        "exit status 42",
    ),
    (
        "secret-missing-volume",
        "waiting",
        Some("config_missing"),
        None,
        "secret \"nosuch\" not found",
    ),
    ("suspended", "waiting", None, None, "suspended"),
    (
        "unschedulable-cpu",
        "waiting",
        Some("unschedulable"),
        None,
        "Insufficient cpu",
    ),
];

#[test]
fn every_recorded_case_is_classified() {
    let mut wrong = Vec::new();
    for (case, state, reason, exit_code, words) in CASES {
        let answer = classify(case);
        let message = answer["message"].as_str().unwrap_or_default();
        let as_expected = answer["state"] == state
            && answer["reason"] == json!(reason)
            && answer["exit_code"] == json!(exit_code)
            && message.contains(words)
            && message.is_empty() == words.is_empty()
            && message.chars().count() <= 1_000
            && !message.contains('\x1b');
        if !as_expected {
            wrong.push(format!("{case}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_recorded_case_is_left_out() {
    let mut found: Vec<String> = std::fs::read_dir(fixtures())
        .expect("the fixtures are there")
        .filter_map(|entry| entry.expect("readable").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".job.yaml").map(str::to_owned))
        .collect();
    found.sort();
    assert_eq!(found, CASES.map(|case| case.0.to_owned()));
}

#[test]
fn the_answer_has_every_field() {
    let ok = classify("ok");
    assert_eq!(
        ok,
        json!({
            "state": "succeeded", "reason": null, "class": null, "retryable": null, "message": null, "exit_code": 0,
            "digest": "sha256:ca4f0b748d46ebcc4c8a121829f923cd153b09c0f2066399a9c8bd38fbe7546f",
        })
    );
    let failed = classify("destination-refused-late");
    assert_eq!(failed["class"], "infrastructure");
    assert_eq!(failed["retryable"], true);
    assert_eq!(
        failed["digest"],
        Value::Null,
        "a digest proves nothing about the push"
    );
    let waits = classify("image-missing");
    assert_eq!(
        (&waits["class"], &waits["retryable"]),
        (&json!("operator"), &json!(false))
    );
}

/// Classifies files with these contents.
fn classify_texts(job: &str, pods: &[&str], events: &[&str], logs: &[&[u8]]) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let write = |name: String, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).map(|()| path)
    };
    let many = |kind: &str, texts: Vec<&[u8]>| {
        texts
            .iter()
            .enumerate()
            .map(|(n, text)| write(format!("{kind}{n}"), text))
            .collect::<Result<Vec<_>, _>>()
    };
    let args = ClassifyArgs {
        job: write("job".to_owned(), job.as_bytes())?,
        pod: many("pod", pods.iter().map(|text| text.as_bytes()).collect())?,
        events: many("events", events.iter().map(|text| text.as_bytes()).collect())?,
        log: many("log", logs.to_vec())?,
    };
    Ok(serde_json::from_str(&run(&args)?)?)
}

const FAILED_JOB: &str = "kind: Job\napiVersion: batch/v1\nmetadata: {name: b, uid: j}\nspec: {template: {}}\n\
    status: {failed: 2, conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded}]}\n";

fn pod(name: &str, minute: u32, exit_code: i32) -> String {
    format!(
        "metadata: {{name: {name}, creationTimestamp: '2026-11-23T06:0{minute}:00Z'}}\nspec: {{containers: []}}\n\
         status: {{phase: Failed, containerStatuses: [{{name: kaniko, image: i, imageID: '', ready: false, \
         restartCount: 0, state: {{terminated: {{exitCode: {exit_code}, reason: Error}}}}}}]}}\n"
    )
}

const STEP: &[u8] =
    b"error building image: error building stage: failed to execute command: waiting for process to exit: exit status 3\n";
const PUSH: &[u8] =
    b"error checking push permissions: POST https://r/v2/x/blobs/uploads/: UNAUTHORIZED: no\n";

#[test]
fn objects_come_in_many_wrappings() {
    let (one, two) = (pod("b-1", 1, 1), pod("b-2", 2, 3));
    let indent = |text: &str| text.replace('\n', "\n  ");
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}\n- {}\n",
        indent(&one),
        indent(&two)
    );
    let documents = format!("---\n{one}---\n{two}---\n");
    let bare = format!("- {}\n- {}\n", indent(&one), indent(&two));
    let json = serde_json::to_string(&serde_yaml_ng::from_str::<Value>(&list).expect("YAML")).expect("JSON");
    for text in [list, documents, bare, json] {
        let answer = classify_texts(FAILED_JOB, &[&text], &[], &[PUSH, STEP]).expect("an answer");
        assert_eq!(
            (&answer["reason"], &answer["exit_code"]),
            (&json!("build_step_failed"), &json!(3)),
            "{text}"
        );
    }
    // The order is the files'; a single log is the youngest pod's.
    let answer = classify_texts(FAILED_JOB, &[&two, &one], &[], &[STEP, PUSH]).expect("an answer");
    assert_eq!(answer["reason"], "build_step_failed");
    let answer = classify_texts(FAILED_JOB, &[&two, &one], &[], &[STEP]).expect("an answer");
    assert_eq!(answer["reason"], "build_step_failed");
}

#[test]
fn files_may_be_empty_or_hold_nothing_of_use() {
    for nothing in [
        "",
        "---\n",
        "null\n",
        "{}\n",
        "items: []\nkind: List\n",
        "items: null\nkind: PodList\n",
    ] {
        for log in [&b""[..], b"\x00\xff\xfe\x1b[", b"\n\n"] {
            let answer = classify_texts(FAILED_JOB, &[nothing], &[nothing], &[log]).expect("an answer");
            assert_eq!(
                (&answer["state"], &answer["reason"]),
                (&json!("failed"), &json!("unknown")),
                "{nothing:?}"
            );
        }
        let gone = classify_texts(nothing, &[nothing], &[nothing], &[]).expect("an answer");
        assert_eq!(gone["reason"], "job_lost", "{nothing:?}");
    }
    assert!(classify_texts("just words", &[], &[], &[]).is_err());
    assert!(classify_texts("kind: [", &[], &[], &[]).is_err());
}

#[test]
fn events_of_the_newer_kind_are_read_too() {
    let event = "apiVersion: events.k8s.io/v1\nkind: Event\nmetadata: {name: e}\nreason: FailedCreate\n\
        note: 'pods \"b\" is forbidden: exceeded quota: q'\nregarding: {kind: Job, name: b}\n\
        eventTime: '2026-11-23T06:00:00.000000Z'\nreportingController: job-controller\n";
    let job = "kind: Job\nmetadata: {name: b}\nspec: {template: {}}\n";
    let answer = classify_texts(job, &[], &[event], &[]).expect("an answer");
    assert_eq!(
        (&answer["state"], &answer["reason"]),
        (&json!("waiting"), &json!("quota_exceeded"))
    );
}

#[test]
fn between_two_attempts_the_failed_one_says_why() {
    let job = "kind: Job\nmetadata: {name: b}\nspec: {template: {}, backoffLimit: 3}\nstatus: {failed: 1}\n";
    let answer = classify_texts(job, &[&pod("b-1", 1, 3)], &[], &[STEP]).expect("an answer");
    assert_eq!(
        (&answer["state"], &answer["reason"], &answer["exit_code"]),
        (&json!("waiting"), &json!("build_step_failed"), &json!(3))
    );
}
