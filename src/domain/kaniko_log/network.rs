//! Error texts of Go's network code.

/// Returns true if the words describe a connection that failed or broke off.
pub(super) fn failed(words: &str) -> bool {
    [
        "no such host",
        "server misbehaving",
        "name resolution",
        "connection refused",
        "connection reset",
        "connection timed out",
        "i/o timeout",
        "TLS handshake timeout",
        "deadline exceeded",
        "Client.Timeout",
        "timeout awaiting response",
        "network is unreachable",
        "no route to host",
        "broken pipe",
        "use of closed network connection",
        "server closed idle connection",
        "server sent GOAWAY",
        "transport connection broken",
        "dial tcp",
        "read tcp",
        "write tcp",
        "proxyconnect tcp",
        "stream error",
        "http2:",
        "tls:",
        "x509:",
        "server gave HTTP response to HTTPS client",
        "malformed HTTP response",
    ]
    .iter()
    .any(|phrase| words.contains(phrase))
        || ends_early(words)
}

/// Returns true if the words describe data that ended too early: a broken connection, or a truncated file.
pub(super) fn ends_early(words: &str) -> bool {
    words.ends_with(": EOF") || words == "EOF" || words.contains("unexpected EOF")
}

/// Returns true if the words describe a full disk. The cause comes last, and a file may have any name, so
/// only the end counts.
pub(super) fn disk_full(words: &str) -> bool {
    let words = words.trim_end();
    words.ends_with("no space left on device") || words.ends_with("disk quota exceeded")
}

/// Returns the first HTTP status code that follows `label` in the words.
pub(super) fn status_after(words: &str, label: &str) -> Option<u16> {
    let (_, rest) = words.split_once(label)?;
    rest.trim_start()
        .get(..3)?
        .parse()
        .ok()
        .filter(|status| (100..600).contains(status))
}
