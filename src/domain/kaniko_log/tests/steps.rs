//! Builds, and what their steps print.

use super::{check, classify, reason, verdict};

#[test]
fn builds_by_kanikos_words() {
    let digest = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
    check(
        "error building image: ",
        &[
            (
                "parsing dockerfile: dockerfile parse error on line 1: unknown instruction: UNAUTHORIZED: x",
                "dockerfile_invalid",
            ),
            (
                "error finding target stage: \"x\" is not a valid target build stage",
                "dockerfile_invalid",
            ),
            (
                "reading dockerfile at path /kaniko/Dockerfile: open /kaniko/Dockerfile: no such file or directory",
                "dockerfile_missing",
            ),
            (
                "error building stage: failed to get filesystem from image: write /usr/x: no space left on device",
                "disk_full",
            ),
            (
                &format!(
                    "error building stage: failed to get filesystem from image: GET https://r/v2/x/blobs/{digest}: unexpected status code 503 Service Unavailable"
                ),
                "base_image_unavailable",
            ),
            (
                "error building stage: failed to get filesystem from image: error reading tar 7: unexpected EOF",
                "base_image_unavailable",
            ),
            (
                "error building stage: failed to take snapshot: write /kaniko/1: no space left on device",
                "disk_full",
            ),
            (
                "error building stage: failed to take snapshot: lstat /x: input/output error",
                "unknown",
            ),
            (
                "error building stage: failed to execute command: copying file: open /workspace/x: permission denied",
                "build_step_failed",
            ),
            (
                "error building stage: failed to execute command: extracting fs from image: Get \"https://r/v2/\": EOF",
                "base_image_unavailable",
            ),
            (
                "failed to optimize instructions: failed to get files used from context: failed to get fileinfo for /workspace/no space left on device: lstat /workspace/no space left on device: no such file or directory",
                "build_step_failed",
            ),
            (
                "precompute: failed to get baseImage: GET https://r/v2/x/manifests/1: MANIFEST_UNKNOWN: x",
                "base_image_not_found",
            ),
            ("invalid platform \"x\": y", "unknown"),
        ],
    );
}

const RUNNING: &str = "INFO[0000] RUN make\nINFO[0000] Cmd: /bin/sh\nINFO[0000] Running: [/bin/sh -c make]\n";
const FAILED: &str = "error building image: error building stage: failed to execute command: waiting for process to exit: exit status 1\n";
const DENIED: &str =
    "error pushing image: failed to push to destination x: PUT https://r/v2/x: UNAUTHORIZED: no\n";

#[test]
fn a_step_cannot_speak_for_kaniko() {
    let usage =
        "Error: error resolving source context: authentication required\nUsage:\n  executor [flags]\n";
    for output in [
        DENIED.to_owned(),
        DENIED.trim_end().to_owned(),
        usage.to_owned(),
        format!("\u{1b}]0;{DENIED}"),
        format!("{DENIED}\r"),
        "error building image: write /x: no space left on device\n".to_owned(),
        "error building image: GET https://r/v2/x/manifests/1: TOOMANYREQUESTS: x\n".to_owned(),
        DENIED.repeat(500),
    ] {
        let log = format!("{RUNNING}{output}{FAILED}");
        assert_eq!(
            reason(&log, 1),
            Some("build_step_failed"),
            "{:?}",
            &log[..log.len().min(500)]
        );
        // The step's standard output may come after kaniko's last words, which are on the standard error.
        let swapped = format!("{RUNNING}{FAILED}{output}");
        assert_eq!(
            reason(&swapped, 1),
            Some("build_step_failed"),
            "{:?}",
            &swapped[..swapped.len().min(500)]
        );
    }
}

#[test]
fn a_step_that_claims_to_have_failed_does_not_hide_what_failed_later() {
    let log = format!(
        "{RUNNING}{FAILED}INFO[0001] Taking snapshot of full filesystem...\nINFO[0001] Pushing image to r/x:1\n{DENIED}"
    );
    assert_eq!(reason(&log, 1), Some("registry_unauthorized"));
}

#[test]
fn a_killed_kaniko_has_said_nothing() {
    for output in [
        "",
        DENIED,
        FAILED,
        "error checking push permissions: x: UNAUTHORIZED: y\n",
    ] {
        let log = format!("{RUNNING}{output}");
        assert_eq!(reason(&log, 137), None, "{log}");
        assert_eq!(reason(&log, 2), None, "{log}");
    }
    for log in ["", "\n\n", "\u{0}\u{1}", "{\"level\":", "Error: \nUsage:"] {
        assert_eq!(verdict(log, None), None, "{log:?}");
    }
}

#[test]
fn the_exit_code_of_a_step_means_nothing_but_that() {
    for code in [1, 2, 42, 65, 75, 126, 127, 128, 137, 139, 143] {
        let log = format!(
            "{RUNNING}{}",
            FAILED.replace("status 1", &format!("status {code}"))
        );
        let verdict = verdict(&log, Some(code)).expect("the step failed");
        assert_eq!(
            (verdict.reason.as_str(), verdict.exit_code),
            ("build_step_failed", Some(code))
        );
        assert_eq!(
            verdict.message,
            format!("The step `RUN make` failed with exit status {code}.")
        );
    }
}

#[test]
fn messages_are_fit_to_be_shown() {
    let long = format!("INFO[0000] RUN {}\n{RUNNING}", "x".repeat(5_000));
    let log = format!(
        "{long}error building image: \u{1b}[31mGET https://u:p@r/v2/x: MANIFEST_UNKNOWN:\u{1b}[0m {}",
        "é".repeat(5_000)
    );
    let verdict = verdict(&log, Some(1)).expect("it failed");
    assert_eq!(verdict.message.chars().count(), 1_000);
    assert!(
        verdict
            .message
            .starts_with("A base image does not exist: GET https://r/v2/x: MANIFEST_UNKNOWN: é")
    );
}

#[test]
fn a_log_of_any_size_is_read_once() {
    let mut log = RUNNING.as_bytes().to_vec();
    log.resize(20_000_000, b'\x1b');
    log.extend_from_slice(b"]");
    log.resize(40_000_000, b'x');
    log.push(b'\n');
    log.extend_from_slice(FAILED.as_bytes());
    let verdict = classify(&log, Some(1)).expect("it says why");
    assert_eq!(verdict.reason.as_str(), "build_step_failed");
    let mut progress = crate::domain::kaniko_log::Progress::default();
    progress.feed(&log);
    assert_eq!(progress.phase(), crate::domain::Phase::Building);
}
