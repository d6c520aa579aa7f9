//! What a build on another cryptography library stored has to stay readable: its key file, its sealed
//! rows, its tokens. These were made with aws-lc-rs.

use super::keyring::{Keyring, NO_CONTEXT, SEALED_KEYS};
use crate::secret::key_file;
use crate::secret::seal::Seal;
use nsys_contract::config::Auth;
use nsys_contract::status::Role;

const KEY_FILE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIM4EafulCKdzGhtLu4136zQgfM5s8Z7Wi7YDuQs3n7s4
-----END PRIVATE KEY-----
";
const KID: &str = "qXOyv7O7NEYpTGW0";
const SEALED: &str = "2524b44e8021eebb3775d91621c86214772ff9f1efd9c405d8d1575b1336008b8a4172245cc0e2b5162b73d62272e88a21\
    169a83648f";
const TOKEN: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSIsImtpZCI6InFYT3l2N083TkVZcFRHVzAifQ.eyJzdWIiOiIwMDAwMDAwMC0wM\
    DAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDciLCJlbWFpbCI6Im9sZEBleGFtcGxlLmNvbSIsInJvbGUiOiJBRE1JTiIsInRlbmFudCI6bnVsbCwia\
    XNzIjoibm90aWZpY2F0aW9uLXNlcnZpY2UiLCJhdWQiOiJub3RpZmljYXRpb24tYXBpIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwM\
    DAsImV4cCI6NDAwMDAwMDAwMH0.bM6mDUB-SgTVZ56jQ-FL_Pwq2gPfEH-YXS5LNDpxfTAe-HxnOLJdqsitdV9KH3tzQskUYyzGanyjjUPSf2DED\
    w";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn an_older_builds_key_file_rows_and_tokens_stay_valid() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    std::fs::write(&path, KEY_FILE).unwrap();
    let auth = Auth { signing_key_file: path.display().to_string(), ..Auth::default() };
    let keyring = Keyring::open(&auth).unwrap();
    assert_eq!(keyring.list()[0].kid, KID);
    let claims = keyring.verify_known(TOKEN).unwrap();
    assert_eq!((claims.email.as_str(), claims.role), ("old@example.com", Role::Admin));
    // Ed25519 is deterministic: the same claims under the same key are the same token.
    assert_eq!(keyring.sign(&claims).unwrap(), TOKEN);
    let seal = Seal::derive(&key_file::read_or_create(&path).unwrap(), SEALED_KEYS).unwrap();
    assert_eq!(seal.open(NO_CONTEXT, &bytes(SEALED)).unwrap(), b"what an older build sealed");
}

#[test]
fn a_new_key_is_written_as_it_always_was() {
    let der = key_file::generate().unwrap();
    // RFC 8410, section 7: version 1, the algorithm, the seed in two octet strings.
    assert_eq!((der.len(), &der[..16]), (48, &bytes("302e020100300506032b657004220420")[..]));
    assert_ne!(der, key_file::generate().unwrap());
}
