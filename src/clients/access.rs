//! What parts that run elsewhere want beside their address: an authority to trust, a token for
//! Prometheus. Given once, before the first call; the drivers look here.

use std::sync::OnceLock;

/// What calls to parts that run elsewhere carry.
#[derive(Clone, Default)]
pub struct ExternalAccess {
    /// Certificate authority (PEM) to trust beside the usual ones.
    pub authority: Option<Vec<u8>>,
    /// Requests to addresses that begin like this carry the token.
    pub prometheus: Option<(String, String)>,
}

static ACCESS: OnceLock<ExternalAccess> = OnceLock::new();

/// Gives the access of this process. The first one stays.
pub fn give(access: ExternalAccess) {
    // A process serves one stack; a second stack would need its own process anyway.
    let _ = ACCESS.set(access);
}

pub(super) fn authority() -> Option<&'static [u8]> {
    ACCESS.get()?.authority.as_deref()
}

pub(super) fn token(url: &str) -> Option<&'static str> {
    let (base, token) = ACCESS.get()?.prometheus.as_ref()?;
    url.starts_with(base.as_str()).then_some(token.as_str())
}
