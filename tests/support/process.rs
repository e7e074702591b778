//! What a process has once, whichever of its tests asks first.

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
