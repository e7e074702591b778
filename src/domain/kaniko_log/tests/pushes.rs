//! Tests of registries' errors about pushes.

use super::check;

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
