//! Global state of the test process, set by the test that needs it first.

use std::sync::Once;

/// Installs the TLS provider that every client and server of this process uses.
pub fn install_crypto_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("nothing else in this process installs one");
    });
}
