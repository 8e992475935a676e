//! Which cryptography TLS uses: one choice for the whole process.

use rustls::crypto::{CryptoProvider, ring};

/// Makes ring the process' provider if none has been chosen yet: whoever embeds the library may have.
pub(crate) fn choose_provider() {
    if CryptoProvider::get_default().is_none() {
        // An error means that another thread was faster, which is as good.
        let _ = ring::default_provider().install_default();
    }
}
