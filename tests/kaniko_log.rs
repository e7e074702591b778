//! Logs of the real kaniko (v1.28.3), recorded for cases that a cluster's fixtures do not have: what each is made of.

use std::{fs, path::Path};

use slipway::domain::{
    Phase,
    kaniko_log::{Progress, classify, snippet},
};

/// Case, the container's exit code, reason (none for a success), words that the message must have.
type Case = (&'static str, i32, &'static str, &'static str);

const CASES: &[Case] = &[
    // What is wrong with the Dockerfile, or one of its steps.
    (
        "stage-unknown",
        1,
        "dockerfile_invalid",
        "\"nosuch\" is not a valid target build stage",
    ),
    (
        "copy-from-missing-stage",
        1,
        "dockerfile_invalid",
        "COPY --from=7",
    ),
    (
        "empty-dockerfile",
        1,
        "dockerfile_invalid",
        "file with no instructions",
    ),
    ("from-invalid", 1, "dockerfile_invalid", "Upper/Case"),
    ("from-blank", 1, "dockerfile_invalid", "could not parse reference"),
    ("dockerfile-directory", 1, "dockerfile_invalid", "is a directory"),
    (
        "git-no-dockerfile",
        1,
        "dockerfile_missing",
        "valid path to a Dockerfile",
    ),
    (
        "copy-missing",
        1,
        "build_step_failed",
        "A COPY or ADD step failed",
    ),
    ("add-url-missing", 1, "build_step_failed", "status 404"),
    ("user-missing", 1, "build_step_failed", "user nosuchuser"),
    ("shell-missing", 1, "build_step_failed", "`RUN echo hi` failed: "),
    (
        "command-not-found",
        127,
        "build_step_failed",
        "`RUN nosuchcommand --flag` failed with exit status 127",
    ),
    (
        "run-exit-1",
        1,
        "build_step_failed",
        "`RUN echo building; exit 1` failed with exit status 1",
    ),
    ("run-killed", 255, "build_step_failed", "was ended by a signal"),
    // What looks like an out-of-memory kill is what somebody wrote into a Dockerfile.
    ("run-137", 137, "build_step_failed", "exit status 137"),
    // A cached layer is pushed while the next step runs.
    (
        "cache",
        4,
        "build_step_failed",
        "`RUN sleep 1; exit 4` failed with exit status 4",
    ),
    ("disk-full-copy", 1, "disk_full", "no space left on device"),
    // The step's own output is not kaniko's word.
    ("disk-full-run", 1, "build_step_failed", "exit status 1"),
    // Steps that print what kaniko would print.
    ("hostile-push-phrase", 1, "build_step_failed", "exit status 1"),
    ("hostile-no-newline", 1, "build_step_failed", "exit status 1"),
    ("hostile-stdout", 1, "build_step_failed", "exit status 1"),
    ("hostile-usage", 1, "build_step_failed", "exit status 1"),
    ("hostile-info-lines", 75, "build_step_failed", "exit status 75"),
    ("hostile-binary", 3, "build_step_failed", "exit status 3"),
    ("hostile-fake-run-failure", 1, "push_denied", "uploadArtifacts"),
    // Base images.
    ("base-missing", 1, "base_image_not_found", "MANIFEST_UNKNOWN"),
    ("base-missing-real", 1, "base_image_not_found", "library/nosuch"),
    ("base-noname", 1, "base_image_not_found", "NAME_UNKNOWN"),
    (
        "base-tag-hostile",
        1,
        "base_image_not_found",
        "manifests/UNAUTHORIZED: MANIFEST_UNKNOWN",
    ),
    (
        "base-private",
        1,
        "base_image_unauthorized",
        "authentication required",
    ),
    (
        "base-forbidden",
        1,
        "base_image_unauthorized",
        "requested access to the resource is denied",
    ),
    ("base-limited", 1, "base_image_rate_limited", "pull rate limit"),
    ("base-down", 1, "base_image_unavailable", "502 Bad Gateway"),
    ("base-refused", 1, "base_image_unavailable", "connection refused"),
    ("base-dns", 1, "base_image_unavailable", "no such host"),
    // Pushes.
    (
        "push-private",
        1,
        "registry_unauthorized",
        "authentication required",
    ),
    ("push-forbidden", 1, "push_denied", "write_package"),
    ("push-raw403", 1, "push_denied", "403 Forbidden"),
    ("push-noname", 1, "push_denied", "does not exist in the registry"),
    ("push-down", 1, "registry_unavailable", "503"),
    ("push-dns", 1, "registry_unavailable", "no such host"),
    (
        "push-late-ecr",
        1,
        "tag_immutable",
        "cannot be overwritten because the tag is immutable",
    ),
    ("push-late-harbor", 1, "tag_immutable", "configured as immutable"),
    ("push-late-late403", 1, "push_denied", "denied on resource"),
    (
        "push-late-late500",
        1,
        "registry_unavailable",
        "UNKNOWN: unknown error",
    ),
    ("push-late-odd", 1, "push_failed", "MANIFEST_INVALID"),
    // Sources.
    ("git-auth", 1, "source_auth_failed", "authentication required"),
    ("git-forbidden", 1, "source_auth_failed", "authorization failed"),
    ("git-missing", 1, "source_not_found", "repository not found"),
    (
        "git-branch-missing",
        1,
        "revision_not_found",
        "reference not found",
    ),
    ("git-tag-missing", 1, "revision_not_found", "refs/tags/nosuch"),
    (
        "git-commit-missing",
        1,
        "revision_not_found",
        "exact SHA1 refspec",
    ),
    (
        "git-commit-missing-2",
        1,
        "revision_not_found",
        "object not found",
    ),
    ("git-empty", 1, "revision_not_found", "remote repository is empty"),
    ("git-five", 1, "source_fetch_failed", "status code: 500"),
    ("git-limited", 1, "source_fetch_failed", "status code: 429"),
    ("git-refused", 1, "source_fetch_failed", "connection refused"),
    ("git-dns", 1, "source_fetch_failed", "no such host"),
    ("https-refused", 1, "source_fetch_failed", "connection refused"),
    ("https-plain", 1, "source_fetch_failed", "TLS handshake"),
    (
        "git-subpath-missing",
        1,
        "context_invalid",
        "/kaniko/buildcontext/nosuch",
    ),
    ("tar-garbage", 1, "context_invalid", "gzip: invalid header"),
    ("tar-notar", 1, "context_invalid", "invalid tar header"),
    ("tar-truncated", 1, "context_invalid", "unexpected EOF"),
    ("tar-nosuch", 1, "source_not_found", "/ctx/nosuch.tar.gz"),
    (
        "context-prefix",
        1,
        "context_invalid",
        "unknown build context prefix",
    ),
    ("s3-nowhere", 1, "source_fetch_failed", "Invalid region"),
    // A wrong call, which another try would only repeat.
    ("flag-unknown", 1, "launch_failed", "--no-such-flag"),
    ("platform-invalid", 1, "launch_failed", "too many slashes"),
];

const SUCCESSES: [&str; 4] = ["ok-several-steps", "base-platform", "git-ok", "push-tls"];

/// The logs of a case: in both formats, or in one where the format makes no difference.
fn logs(case: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kaniko");
    let logs: Vec<_> = ["json", "text"]
        .iter()
        .map(|format| format!("{case}.{format}.log"))
        .filter_map(|name| Some((name.clone(), fs::read(folder.join(&name)).ok()?)))
        .collect();
    assert!(!logs.is_empty(), "{case} has no log");
    logs
}

#[test]
fn every_recorded_failure_is_understood() {
    let mut wrong = Vec::new();
    for (case, exit_code, reason, words) in CASES {
        for (name, log) in logs(case) {
            let verdict = classify(&log, Some(*exit_code));
            let as_expected = verdict
                .as_ref()
                .is_some_and(|verdict| verdict.reason.as_str() == *reason && verdict.message.contains(words));
            if !as_expected {
                wrong.push(format!("{name}: {verdict:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_exit_code_is_no_condition_of_understanding() {
    for (case, _, reason, _) in CASES {
        for (name, log) in logs(case) {
            let verdict = classify(&log, None).unwrap_or_else(|| panic!("{name} says why"));
            assert_eq!(verdict.reason.as_str(), *reason, "{name}");
        }
    }
}

#[test]
fn a_success_has_no_verdict_and_reaches_the_push() {
    for case in SUCCESSES {
        for (name, log) in logs(case) {
            assert_eq!(classify(&log, Some(1)), None, "{name}");
            assert_eq!(phase(&log), Phase::Pushing, "{name}");
        }
    }
}

fn phase(log: &[u8]) -> Phase {
    let mut progress = Progress::default();
    progress.feed(log);
    progress.phase()
}

#[test]
fn the_phase_is_the_one_in_which_the_build_failed() {
    for (case, expected) in [
        ("git-auth", Phase::Fetching),
        ("tar-garbage", Phase::Fetching),
        ("base-missing", Phase::Building),
        ("run-exit-1", Phase::Building),
        // The cache's push is not the image's.
        ("cache", Phase::Building),
        ("hostile-push-phrase", Phase::Building),
        ("push-late-ecr", Phase::Pushing),
    ] {
        for (name, log) in logs(case) {
            assert_eq!(phase(&log), expected, "{name}");
        }
    }
}

#[test]
fn a_log_may_come_in_pieces_cut_anywhere() {
    for (name, log) in logs("ok-several-steps") {
        for size in [1, 2, 3, 7, 64, 300] {
            let mut progress = Progress::default();
            let mut seen = vec![progress.phase()];
            for piece in log.chunks(size) {
                progress.feed(piece);
                if seen.last() != Some(&progress.phase()) {
                    seen.push(progress.phase());
                }
            }
            assert_eq!(
                seen,
                [Phase::Fetching, Phase::Building, Phase::Pushing],
                "{name} in pieces of {size}"
            );
            let step = progress.step().expect("steps were executed");
            assert_eq!(
                (step.number, step.instruction.as_str()),
                (5, "RUN printf two"),
                "{name}"
            );
        }
    }
}

#[test]
fn snippets_show_the_error_and_not_the_usage_text() {
    for (case, words) in [
        ("git-auth", "authentication required"),
        ("run-exit-1", "exit status 1"),
    ] {
        for (name, log) in logs(case) {
            let snippet = snippet(&log).unwrap_or_else(|| panic!("{name} has a snippet"));
            assert!(
                snippet.contains(words) && !snippet.contains("--verbosity"),
                "{name}: {snippet}"
            );
            assert!(snippet.lines().count() <= 20 && snippet.len() <= 4096, "{name}");
        }
    }
}

#[test]
fn no_recorded_log_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kaniko");
    for entry in fs::read_dir(folder).expect("the logs are there") {
        let name = entry
            .expect("readable")
            .file_name()
            .into_string()
            .expect("a plain name");
        let case = name.split('.').next().unwrap_or_default();
        let known = CASES.iter().any(|known| known.0 == case) || SUCCESSES.contains(&case);
        assert!(known, "{name} is not expected to be anything");
    }
}
