//! Words of kaniko's, of registries and of git hosts, and what they mean.

use super::{classify, verdict::Verdict};

fn verdict(log: &str, exit_code: Option<i32>) -> Option<Verdict> {
    classify(log.as_bytes(), exit_code)
}

fn reason(log: &str, exit_code: i32) -> Option<&'static str> {
    verdict(log, Some(exit_code)).map(|verdict| verdict.reason.as_str())
}

fn check(prefix: &str, cases: &[(&str, &str)]) {
    for (words, expected) in cases {
        let log = format!("INFO[0000] Retrieving image manifest x\n{prefix}{words}\n");
        assert_eq!(reason(&log, 1), Some(*expected), "{log}");
    }
}

fn check_early(prefix: &str, cases: &[(&str, &str)]) {
    for (words, expected) in cases {
        let log = format!("INFO[0000] hello\nError: {prefix}{words}\nUsage:\n  executor [flags]\n");
        assert_eq!(reason(&log, 1), Some(*expected), "{log}");
    }
}

#[test]
fn base_images_by_the_words_of_registries() {
    let hub = "GET https://index.docker.io/v2/library/nosuch/manifests/1";
    check(
        "error building image: unable to complete operation after 3 attempts, last error: ",
        &[
            (
                &format!("{hub}: MANIFEST_UNKNOWN: manifest unknown; unknown tag=1"),
                "base_image_not_found",
            ),
            (
                &format!(
                    "{hub}: UNAUTHORIZED: authentication required; [map[Action:pull Class: Name:library/nosuch Type:repository]]"
                ),
                "base_image_unauthorized",
            ),
            (
                "GET https://auth.docker.io/token?scope=repository%3Alibrary%2Fx%3Apull&service=registry.docker.io: unexpected status code 401 Unauthorized: {\"details\":\"incorrect username or password\"}",
                "base_image_unauthorized",
            ),
            (
                &format!(
                    "{hub}: TOOMANYREQUESTS: You have reached your pull rate limit as 'somebody': dckr_jti. You may increase the limit by authenticating and upgrading"
                ),
                "base_image_rate_limited",
            ),
            (
                &format!("{hub}: unexpected status code 429 Too Many Requests: slow down"),
                "base_image_rate_limited",
            ),
            (
                "GET https://ghcr.io/token?scope=repository%3Ao%2Fr%3Apull&service=ghcr.io: DENIED: requested access to the resource is denied",
                "base_image_unauthorized",
            ),
            (
                "GET https://ghcr.io/v2/o/r/manifests/1: unexpected status code 403 Forbidden: denied",
                "base_image_unauthorized",
            ),
            (
                "GET https://quay.io/v2/o/r/manifests/1: UNAUTHORIZED: access to the requested resource is not authorized; map[]",
                "base_image_unauthorized",
            ),
            (
                "GET https://europe-docker.pkg.dev/v2/p/r/i/manifests/1: NAME_UNKNOWN: Repository \"r\" not found",
                "base_image_not_found",
            ),
            (
                "GET https://europe-docker.pkg.dev/v2/token?scope=x: DENIED: Permission \"artifactregistry.repositories.downloadArtifacts\" denied on resource \"projects/p\" (or it may not exist)",
                "base_image_unauthorized",
            ),
            (
                "GET https://1.dkr.ecr.eu-west-1.amazonaws.com/v2/r/manifests/1: NAME_UNKNOWN: The repository with name 'r' does not exist in the registry with id '1'",
                "base_image_not_found",
            ),
            (
                "GET https://harbor/v2/p/r/manifests/1: NOT_FOUND: artifact p/r:1 not found",
                "base_image_not_found",
            ),
            (
                "GET https://harbor/v2/p/r/manifests/1: multiple errors returned: UNAUTHORIZED: one; DENIED: two",
                "base_image_unauthorized",
            ),
            (
                &format!("{hub}: UNAVAILABLE: service unavailable"),
                "base_image_unavailable",
            ),
            (
                &format!("{hub}: unexpected status code 504 Gateway Timeout: <html>"),
                "base_image_unavailable",
            ),
            (
                "GET https://r/v2/x/manifests/1: unexpected status code 404 Not Found: 404 page not found",
                "base_image_not_found",
            ),
            (
                "Get \"https://r/v2/\": dial tcp 192.0.2.1:443: i/o timeout",
                "base_image_unavailable",
            ),
            (
                "Get \"https://r/v2/\": net/http: TLS handshake timeout",
                "base_image_unavailable",
            ),
            (
                "Get \"https://r/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
                "base_image_unavailable",
            ),
            (
                "Get \"https://r/v2/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                "base_image_unavailable",
            ),
            (
                "Get \"https://r/v2/\": read tcp 192.0.2.2:1->192.0.2.1:443: read: connection reset by peer",
                "base_image_unavailable",
            ),
            ("Get \"https://r/v2/\": EOF", "base_image_unavailable"),
            (
                "Get \"http://r/v2/\": http: server gave HTTP response to HTTPS client",
                "base_image_unavailable",
            ),
            (
                "no child with platform linux/s390x in index index.docker.io/library/x:1",
                "base_image_not_found",
            ),
            ("could not parse reference: UPPER", "dockerfile_invalid"),
        ],
    );
}

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

#[test]
fn pushes_by_the_words_of_registries() {
    let upload = "checking push permission for \"r/x:1\": POST https://r/v2/x/blobs/uploads/";
    check(
        "error checking push permissions: ",
        &[
            (
                &format!("{upload}: UNAUTHORIZED: authentication required"),
                "registry_unauthorized",
            ),
            (
                &format!(
                    "{upload}: unexpected status code 401 Unauthorized (HEAD responses have no body, use GET for details)"
                ),
                "registry_unauthorized",
            ),
            (
                &format!("{upload}: DENIED: requested access to the resource is denied"),
                "push_denied",
            ),
            (
                &format!("{upload}: unexpected status code 403 Forbidden"),
                "push_denied",
            ),
            (
                &format!("{upload}: UNSUPPORTED: The operation is unsupported."),
                "push_denied",
            ),
            (
                &format!("{upload}: NAME_UNKNOWN: repository not found"),
                "push_denied",
            ),
            (
                &format!("{upload}: unexpected status code 503 Service Unavailable: no"),
                "registry_unavailable",
            ),
            (
                &format!("{upload}: TOOMANYREQUESTS: Quota exceeded"),
                "registry_unavailable",
            ),
            (
                "checking push permission for \"r/x:1\": creating push check transport for r failed: Get \"https://r/v2/\": x509: certificate has expired",
                "registry_unavailable",
            ),
            (
                "checking push permission for \"r/x:1\": creating push check transport for r failed: GET https://r/token: unexpected status code 401 Unauthorized: bad",
                "registry_unauthorized",
            ),
            (
                "checking push permission for \"r/x:1\": resolving authorization for r failed: error getting credentials - err: exec: \"docker-credential-x\": not found",
                "registry_unauthorized",
            ),
            (
                "checking push permission for \"r/x:1\": no token in bearer response:",
                "registry_unauthorized",
            ),
            (
                "getting tag for destination: repository can only contain the characters `abc`: Team/App",
                "push_failed",
            ),
        ],
    );
    let manifest = "failed to push to destination r/immutable/x:1: PUT https://r/v2/immutable/x/manifests/1";
    check(
        "error pushing image: ",
        &[
            (
                &format!(
                    "{manifest}: TAG_INVALID: The image tag '1' already exists in the 'x' repository and cannot be overwritten because the tag is immutable."
                ),
                "tag_immutable",
            ),
            (
                &format!("{manifest}: DENIED: The repository has enabled tag immutability"),
                "tag_immutable",
            ),
            (
                &format!(
                    "{manifest}: MANIFEST_INVALID: manifest invalid; The repository has enabled tag immutability"
                ),
                "tag_immutable",
            ),
            (
                &format!(
                    "{manifest}: PRECONDITION: Failed to process request due to 'x:1' configured as immutable."
                ),
                "tag_immutable",
            ),
            (
                &format!("{manifest}: unexpected status code 412 Precondition Failed"),
                "tag_immutable",
            ),
            (
                &format!("{manifest}: unexpected status code 409 Conflict: exists"),
                "tag_immutable",
            ),
            (
                &format!(
                    "{manifest}: unexpected status code 400 Bad Request: Repository does not allow updating assets: docker"
                ),
                "tag_immutable",
            ),
            // The repository is called so; its registry says something else.
            (
                &format!("{manifest}: UNAUTHORIZED: authentication required"),
                "registry_unauthorized",
            ),
            (
                &format!(
                    "{manifest}: DENIED: adding 1 GiB of storage resource, which when updated to current usage will exceed the configured upper limit"
                ),
                "push_denied",
            ),
            (
                &format!("{manifest}: unexpected status code 413 Request Entity Too Large: <html>"),
                "push_failed",
            ),
            (
                &format!("{manifest}: BLOB_UPLOAD_INVALID: blob upload invalid"),
                "push_failed",
            ),
            (
                &format!("{manifest}: unexpected status code 500 Internal Server Error"),
                "registry_unavailable",
            ),
            (&format!("{manifest}: INTERNAL_ERROR: x"), "registry_unavailable"),
            (
                "failed to push to destination r/x:1: Patch \"https://r/v2/x/blobs/uploads/1\": write tcp 192.0.2.1:1->192.0.2.2:443: write: broken pipe",
                "registry_unavailable",
            ),
            (
                "failed to push to destination r/x:1: Put \"https://r/v2/x\": unexpected EOF",
                "registry_unavailable",
            ),
            (
                "writing tarball to file failed: write /x.tar: no space left on device",
                "disk_full",
            ),
            (
                "writing digest to file failed: open /dev/termination-log: permission denied",
                "push_failed",
            ),
        ],
    );
}

#[test]
fn sources_by_the_words_of_their_hosts() {
    check_early(
        "error resolving source context: ",
        &[
            (
                "authentication required: Invalid username or token. Password authentication is not supported for Git operations.",
                "source_auth_failed",
            ),
            ("authorization failed: ", "source_auth_failed"),
            ("repository not found: ", "source_not_found"),
            ("reference not found", "revision_not_found"),
            ("invalid branch: main", "revision_not_found"),
            (
                "upload-pack: not our ref 1111111111111111111111111111111111111111",
                "revision_not_found",
            ),
            (
                "Get \"https://g/x.git/info/refs?service=git-upload-pack\": dial tcp: lookup g: i/o timeout",
                "source_fetch_failed",
            ),
            (
                "Get \"https://g/x.git/info/refs?service=git-upload-pack\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
                "source_fetch_failed",
            ),
            (
                "Get \"https://g/x.git/info/refs?service=git-upload-pack\": unexpected EOF",
                "source_fetch_failed",
            ),
            (
                "unexpected client error: unexpected requesting \"https://g/x.git\" status code: 502",
                "source_fetch_failed",
            ),
            (
                "HTTPSTar bad status from server: 404 Not Found",
                "source_not_found",
            ),
            (
                "HTTPSTar bad status from server: 403 Forbidden",
                "source_auth_failed",
            ),
            (
                "HTTPSTar bad status from server: 500 Internal Server Error",
                "source_fetch_failed",
            ),
            (
                "operation error S3: GetObject, https response error StatusCode: 404, RequestID: 1, HostID: 2, NoSuchKey: The specified key does not exist.",
                "source_not_found",
            ),
            (
                "operation error S3: GetObject, https response error StatusCode: 403, RequestID: 1, HostID: 2, api error AccessDenied: Access Denied",
                "source_auth_failed",
            ),
            (
                "operation error S3: GetObject, get identity: get credentials: failed to refresh cached credentials, no EC2 IMDS role found",
                "source_auth_failed",
            ),
            (
                "operation error S3: GetObject, exceeded maximum number of attempts, 3, https response error StatusCode: 503, SlowDown",
                "source_fetch_failed",
            ),
            ("storage: object doesn't exist", "source_not_found"),
            (
                "googleapi: Error 403: x does not have storage.objects.get access, forbidden",
                "source_auth_failed",
            ),
            (
                "RESPONSE 404: 404 The specified blob does not exist. ERROR CODE: BlobNotFound",
                "source_not_found",
            ),
            (
                "write /kaniko/buildcontext/x: no space left on device",
                "disk_full",
            ),
            (
                "tar entry \"../x\" is not allowed: references parent directory",
                "context_invalid",
            ),
            ("flate: corrupt input before offset 5", "context_invalid"),
            // A path may be called as one likes.
            (
                "stat /kaniko/buildcontext/authentication required: no such file or directory",
                "context_invalid",
            ),
        ],
    );
    check_early(
        "error resolving dockerfile path: ",
        &[
            (
                "copying dockerfile: open /workspace/Dockerfile: no such file or directory",
                "dockerfile_missing",
            ),
            (
                "copying dockerfile: open /workspace/Dockerfile: permission denied",
                "unknown",
            ),
            (
                "copying dockerfile: copying file: write /kaniko/Dockerfile: no space left on device",
                "disk_full",
            ),
        ],
    );
    // `executor push` has the usage text after every error.
    check_early(
        "checking push permissions: checking push permission for \"r/x:1\": ",
        &[("POST https://r/v2/x/: DENIED: x", "push_denied")],
    );
    check_early(
        "pushing image: failed to push to destination r/x:1: ",
        &[(
            "PUT https://r/v2/x: UNKNOWN: unknown error",
            "registry_unavailable",
        )],
    );
    check_early(
        "",
        &[(
            "you must provide --destination, or use --no-push",
            "launch_failed",
        )],
    );
}

#[test]
fn a_download_that_breaks_off_is_told_from_a_broken_archive() {
    let log = |lines: &str| {
        format!("{lines}Error: error resolving source context: unexpected EOF\nUsage:\n  executor [flags]\n")
    };
    assert_eq!(
        reason(&log("INFO[0000] Retrieving https tar file\n"), 1),
        Some("source_fetch_failed")
    );
    let whole = "INFO[0000] Retrieving https tar file\nINFO[0003] Retrieved https tar file\n";
    assert_eq!(reason(&log(whole), 1), Some("context_invalid"));
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
    let mut progress = super::Progress::default();
    progress.feed(&log);
    assert_eq!(progress.phase(), crate::domain::Phase::Building);
}
