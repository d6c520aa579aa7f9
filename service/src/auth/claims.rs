//! What a token says, and what it takes to be believed (RFC 8725).

use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use nsys_contract::config::Auth;
use nsys_contract::status::Role;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest token that is read, in bytes; ours have about 500.
const MAX_TOKEN_BYTES: usize = 4_096;
/// How far two clocks may be apart, in seconds.
pub(crate) const LEEWAY_S: u64 = 5;

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) sub: Uuid,
    pub(crate) email: String,
    pub(crate) role: Role,
    pub(crate) tenant: Option<String>,
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
}

/// One pinned algorithm; every registered claim is required and checked.
pub(crate) fn validation(auth: &Auth) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[&auth.issuer]);
    validation.set_audience(&[&auth.audience]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    validation.validate_nbf = true;
    validation.leeway = LEEWAY_S;
    validation
}

/// The header of a token of ours: no other algorithm, and nothing that would say where the key is
/// to be found or that has to be understood.
pub(crate) fn header(token: &str) -> Option<Header> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let header = jsonwebtoken::decode_header(token).ok()?;
    let foreign = header.jku.is_some()
        || header.jwk.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some()
        || header.crit.is_some()
        || header.alg != Algorithm::EdDSA;
    (!foreign).then_some(header)
}

/// The claims of a token that this key signed and that is valid now.
pub(crate) fn read(token: &str, key: &DecodingKey, validation: &Validation) -> Option<Claims> {
    jsonwebtoken::decode::<Claims>(token, key, validation).ok().map(|token| token.claims)
}
