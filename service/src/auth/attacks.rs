//! Every way to get a token accepted that should not be, tried on a keyring.

use super::claims::Claims;
use super::jose::key_pair;
use super::keyring::Keyring;
use crate::secret::key_file;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nsys_contract::config::Auth;
use nsys_contract::status::Role;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use uuid::Uuid;

/// A keyring, and its private key as an attacker must not have it.
struct Target {
    keyring: Keyring,
    key: Ed25519KeyPair,
    kid: String,
    _dir: tempfile::TempDir,
}

fn target() -> Target {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    let auth = Auth { signing_key_file: path.display().to_string(), ..Auth::default() };
    let keyring = Keyring::open(&auth).unwrap();
    let key = key_pair(&key_file::read_or_create(&path).unwrap()).unwrap();
    let kid = keyring.list()[0].kid.clone();
    Target { keyring, key, kid, _dir: dir }
}

fn claims() -> Value {
    let (auth, now) = (Auth::default(), crate::clock::now().as_second());
    json!({"sub": Uuid::nil(), "email": "a@example.com", "role": "ADMIN", "tenant": null, "iss": auth.issuer,
        "aud": auth.audience, "iat": now, "nbf": now, "exp": now + 600})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

impl Target {
    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid})
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        signed(&self.key, header, claims)
    }

    fn refuses(&self, what: &str, token: &str) {
        assert!(self.keyring.verify_known(token).is_none(), "{what} was accepted: {token}");
    }
}

fn signed(key: &Ed25519KeyPair, header: &Value, claims: &Value) -> String {
    let body = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(body.as_bytes()));
    format!("{body}.{signature}")
}

#[test]
fn a_token_that_is_right_is_accepted() {
    let target = target();
    let token = target.signed(&target.header(), &claims());
    assert_eq!(target.keyring.verify_known(&token).unwrap().role, Role::Admin);
    let claims: Claims = serde_json::from_value(claims()).unwrap();
    let own = target.keyring.sign(&claims).unwrap();
    assert_eq!(target.keyring.verify_known(&own).unwrap().email, "a@example.com");
}

#[test]
fn no_other_algorithm_is_accepted() {
    let target = target();
    let body = format!("{}.{}", part(&target.header()), part(&claims()));
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let mut header = target.header();
        header["alg"] = alg.into();
        target.refuses("alg none", &format!("{}.{}.", part(&header), part(&claims())));
        target.refuses("alg none with a signature", &target.signed(&header, &claims()));
    }
    target.refuses("no signature", &format!("{body}."));
    target.refuses("no third part", &body);
    for alg in ["RS256", "ES256", "PS512", "HS512"] {
        let mut header = target.header();
        header["alg"] = alg.into();
        target.refuses(alg, &target.signed(&header, &claims()));
    }
    // The public key as a shared secret.
    let mut header = target.header();
    header["alg"] = "HS256".into();
    let body = format!("{}.{}", part(&header), part(&claims()));
    let secret = hmac::Key::new(hmac::HMAC_SHA256, target.key.public_key().as_ref());
    let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, body.as_bytes()));
    target.refuses("HS256 under the public key", &format!("{body}.{tag}"));
}

#[test]
fn no_other_key_is_accepted_however_it_is_named() {
    let target = target();
    let foreign = key_pair(&key_file::generate().unwrap()).unwrap();
    target.refuses("a foreign key", &signed(&foreign, &target.header(), &claims()));
    let own_jwk =
        json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(foreign.public_key().as_ref())});
    let kids = [
        json!("other"),
        json!(""),
        json!(null),
        json!(7),
        json!([]),
        json!("../../../../dev/null"),
        json!("' OR '1'='1"),
        json!(format!("{}\0", target.kid)),
        json!(target.kid.to_lowercase() + " "),
    ];
    for kid in kids {
        let mut header = target.header();
        header["kid"] = kid.clone();
        target.refuses("a kid that is not ours", &signed(&foreign, &header, &claims()));
        target.refuses("our key under another kid", &target.signed(&header, &claims()));
    }
    for (name, value) in [
        ("jwk", own_jwk),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
    ] {
        let mut header = target.header();
        header[name] = value;
        target.refuses(name, &signed(&foreign, &header, &claims()));
        target.refuses(name, &target.signed(&header, &claims()));
    }
}

#[test]
fn no_token_is_accepted_out_of_its_time_or_place() {
    let target = target();
    let now = crate::clock::now().as_second();
    let wrong = [
        ("expired", with("exp", json!(now - 60))),
        ("expired long ago", with("exp", json!(-1))),
        ("not yet valid", with("nbf", json!(now + 120))),
        ("another audience", with("aud", json!("other"))),
        ("several audiences", with("aud", json!(["other", "notification-api"]))),
        ("another issuer", with("iss", json!("other"))),
        ("an unknown role", with("role", json!("ROOT"))),
        ("a subject that is none", with("sub", json!("me"))),
        ("an expiry that is no number", with("exp", json!("never"))),
        ("an expiry beyond numbers", with("exp", json!(1e300))),
    ];
    for (what, claims) in wrong {
        target.refuses(what, &target.signed(&target.header(), &claims));
    }
    for name in ["exp", "nbf", "iss", "aud", "sub", "role"] {
        let mut lacking = claims();
        lacking.as_object_mut().unwrap().remove(name);
        target.refuses(name, &target.signed(&target.header(), &lacking));
    }
}

#[test]
fn no_changed_or_malformed_token_is_accepted() {
    let target = target();
    let mut user = claims();
    user["role"] = "USER".into();
    let token = target.signed(&target.header(), &user);
    let parts: Vec<&str> = token.split('.').collect();
    target.refuses("a changed payload", &format!("{}.{}.{}", parts[0], part(&claims()), parts[2]));
    target.refuses("four parts", &format!("{token}.{}", parts[2]));
    target.refuses("a signature cut short", &token[..token.len() - 2]);
    target.refuses("padding", &format!("{token}=="));
    target.refuses("a line end", &format!("{token}\n"));
    for text in ["", ".", "..", "...", "a.b.c", "Bearer", "{}", "\u{1F600}.\u{1F600}.\u{1F600}"] {
        target.refuses("nonsense", text);
    }
    let mut large = claims();
    large["email"] = "a".repeat(5_000).into();
    target.refuses("a token that is too large", &target.signed(&target.header(), &large));
}
