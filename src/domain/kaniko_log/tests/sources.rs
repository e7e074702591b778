//! Tests of errors of the hosts of sources.

use super::{check_early, reason};

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
