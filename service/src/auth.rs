//! Ed25519 tokens and argon2id passwords.

use crate::secret;
use anyhow::Context;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use nsys_contract::config::Auth;
use nsys_contract::status::Role;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

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

impl Claims {
    /// Operators and admins may write for any tenant; everyone else for the own one.
    pub(crate) fn may_use_tenant(&self, tenant: Option<&str>) -> bool {
        self.role != Role::User || tenant == self.tenant.as_deref()
    }
}

/// Issues and checks tokens. Verified ones are remembered, so the signature check is rare.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    header: Header,
    validation: Validation,
    auth: Auth,
    public_key: String,
    verified: moka::sync::Cache<[u8; 32], Arc<Claims>>,
}

impl Tokens {
    /// Opens the signing key, creating the file when it does not exist yet.
    pub(crate) fn open(auth: &Auth) -> anyhow::Result<Self> {
        let der = match auth.signing_key_file.as_str() {
            "" => generate_key()?,
            path => read_or_create_key(Path::new(path))?,
        };
        let pair = Ed25519KeyPair::from_pkcs8(&der)
            .map_err(|cause| anyhow::anyhow!("{} is no Ed25519 key: {cause}", auth.signing_key_file))?;
        let public = pair.public_key().as_ref();
        let kid = URL_SAFE_NO_PAD.encode(&Sha256::digest(public)[..12]);
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(kid);
        // One pinned algorithm; every registered claim is required and checked (RFC 8725).
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&auth.issuer]);
        validation.set_audience(&[&auth.audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = 5;
        Ok(Self {
            encoding: EncodingKey::from_ed_der(&der),
            decoding: DecodingKey::from_ed_der(public),
            header,
            validation,
            public_key: URL_SAFE_NO_PAD.encode(public),
            verified: moka::sync::Cache::builder()
                .max_capacity(auth.verified_token_cache)
                .time_to_live(Duration::from_secs(60))
                .build(),
            auth: auth.clone(),
        })
    }

    /// A token for an account, and the seconds it lives.
    pub(crate) fn issue(
        &self,
        sub: Uuid,
        email: &str,
        role: Role,
        tenant: Option<&str>,
    ) -> anyhow::Result<(String, u64)> {
        let now = jiff::Timestamp::now().as_second();
        let seconds = self.auth.token_ttl.as_secs();
        let claims = Claims {
            sub,
            email: email.to_owned(),
            role,
            tenant: tenant.map(str::to_owned),
            iss: self.auth.issuer.clone(),
            aud: self.auth.audience.clone(),
            iat: now,
            nbf: now,
            exp: now + i64::try_from(seconds).unwrap_or(i64::MAX / 2),
        };
        Ok((jsonwebtoken::encode(&self.header, &claims, &self.encoding)?, seconds))
    }

    /// The claims of a valid token; `None` for every other text.
    pub(crate) fn verify(&self, token: &str) -> Option<Arc<Claims>> {
        let fingerprint: [u8; 32] = Sha256::digest(token).into();
        if let Some(claims) = self.verified.get(&fingerprint) {
            return (claims.exp > jiff::Timestamp::now().as_second()).then_some(claims);
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.kid != self.header.kid {
            return None;
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims;
        let claims = Arc::new(claims);
        self.verified.insert(fingerprint, Arc::clone(&claims));
        Some(claims)
    }

    /// The public key as a JSON Web Key Set.
    pub(crate) fn jwks(&self) -> serde_json::Value {
        serde_json::json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
            "kid": self.header.kid, "x": self.public_key}]})
    }
}

fn generate_key() -> anyhow::Result<Vec<u8>> {
    let document =
        Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).context("cannot generate a signing key")?;
    Ok(document.as_ref().to_vec())
}

fn read_or_create_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = secret::read_or_create(path, || {
        let key = STANDARD.encode(generate_key()?);
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"))
    })?;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body.trim()).with_context(|| format!("{} is not PEM", path.display()))
}

/// Hashes a password with argon2id (19 MiB, 2 passes). Blocks for tens of milliseconds.
pub(crate) fn hash_password(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|cause| anyhow::anyhow!("cannot hash a password: {cause}"))?;
    Ok(hash.to_string())
}

/// Whether a password fits a hash. Blocks as [`hash_password`] does.
pub(crate) fn password_fits(password: &str, hash: &str) -> bool {
    Argon2::default().verify_password(password.as_bytes(), hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::open(&Auth::default()).unwrap()
    }

    #[test]
    fn an_issued_token_is_accepted() {
        let tokens = tokens();
        let id = Uuid::new_v4();
        let (token, _) = tokens.issue(id, "a@example.com", Role::Admin, None).unwrap();
        assert_eq!(tokens.verify(&token).unwrap().sub, id);
        assert_eq!(tokens.verify(&token).unwrap().role, Role::Admin, "also from the cache");
    }

    #[test]
    fn foreign_tampered_and_unsigned_tokens_are_refused() {
        let ours = tokens();
        let (foreign, _) = tokens().issue(Uuid::new_v4(), "a@example.com", Role::Admin, None).unwrap();
        assert!(ours.verify(&foreign).is_none());
        let (token, _) = ours.issue(Uuid::new_v4(), "a@example.com", Role::User, None).unwrap();
        let mut parts: Vec<&str> = token.split('.').collect();
        let forged = URL_SAFE_NO_PAD.encode(
            String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap().replace("USER", "ADMIN"),
        );
        parts[1] = &forged;
        assert!(ours.verify(&parts.join(".")).is_none());
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        parts[0] = &none;
        parts[2] = "";
        assert!(ours.verify(&parts.join(".")).is_none());
        assert!(ours.verify("").is_none());
    }

    #[test]
    fn an_expired_token_is_refused() {
        let tokens = Tokens::open(&Auth { token_ttl: Duration::ZERO, ..Auth::default() }).unwrap();
        let now = jiff::Timestamp::now().as_second();
        let claims = Claims {
            sub: Uuid::new_v4(),
            email: String::new(),
            role: Role::Admin,
            tenant: None,
            iss: tokens.auth.issuer.clone(),
            aud: tokens.auth.audience.clone(),
            iat: now - 100,
            nbf: now - 100,
            exp: now - 60,
        };
        let token = jsonwebtoken::encode(&tokens.header, &claims, &tokens.encoding).unwrap();
        assert!(tokens.verify(&token).is_none());
        let early = Claims { nbf: now + 60, exp: now + 120, ..claims.clone() };
        assert!(
            tokens.verify(&jsonwebtoken::encode(&tokens.header, &early, &tokens.encoding).unwrap()).is_none()
        );
        let other = Claims { aud: "other".into(), exp: now + 60, ..claims };
        assert!(
            tokens.verify(&jsonwebtoken::encode(&tokens.header, &other, &tokens.encoding).unwrap()).is_none()
        );
    }

    #[test]
    fn passwords_are_salted_and_checked() {
        let hash = hash_password("correct horse").unwrap();
        assert!(password_fits("correct horse", &hash));
        assert!(!password_fits("wrong horse", &hash));
        assert_ne!(hash, hash_password("correct horse").unwrap());
    }
}
