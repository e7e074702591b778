//! Tests of registries' errors about base images.

use super::check;

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
