//! The cryptography of every TLS connection is ring's, chosen here.

/// Takes it into use for this process. Whoever builds an HTTPS client calls this first; coming again does nothing.
pub(crate) fn install() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that another thread was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
