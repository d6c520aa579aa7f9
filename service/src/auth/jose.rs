//! The cryptography of tokens: Ed25519 on ring, and nothing else (RFC 8037).

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory, verifier_factory, key_utils: KeyUtils::new_unimplemented() };

/// Makes tokens signed and verified here. It has to come before the first of them; coming again does nothing.
pub(super) fn install() {
    // An error says that it is installed already.
    let _ = PROVIDER.install_default();
}

/// A key pair from its PKCS#8 DER: version 1, as we and OpenSSL write it, or version 2 with the public key.
pub(super) fn key_pair(der: &[u8]) -> std::result::Result<Ed25519KeyPair, ring::error::KeyRejected> {
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
}

fn signer_factory(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    only_ed25519(*algorithm, key.family())?;
    Ok(Box::new(Ed25519Signer(key_pair(key.as_bytes()).map_err(|_| ErrorKind::InvalidEddsaKey)?)))
}

fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    only_ed25519(*algorithm, key.family())?;
    Ok(Box::new(Ed25519Verifier(UnparsedPublicKey::new(&ED25519, key.try_get_as_bytes()?.to_vec()))))
}

fn only_ed25519(algorithm: Algorithm, family: AlgorithmFamily) -> Result<()> {
    let fits = algorithm == Algorithm::EdDSA && family == AlgorithmFamily::Ed;
    if fits { Ok(()) } else { Err(ErrorKind::InvalidAlgorithm.into()) }
}

struct Ed25519Signer(Ed25519KeyPair);

impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Ed25519Verifier(UnparsedPublicKey<Vec<u8>>);

impl Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.0.verify(message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::key_file::pkcs8;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    /// RFC 8037, appendix A: the key, what is signed, and its signature.
    const PRIVATE: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const SIGNED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    const SIGNATURE: &str =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn keys() -> (EncodingKey, DecodingKey) {
        install();
        let seed: [u8; 32] = bytes(PRIVATE).try_into().unwrap();
        (EncodingKey::from_ed_der(&pkcs8(&seed)), DecodingKey::from_ed_der(&bytes(PUBLIC)))
    }

    #[test]
    fn the_example_of_rfc_8037_is_signed_and_verified() {
        let (private, public) = keys();
        let signature = jsonwebtoken::crypto::sign(SIGNED.as_bytes(), &private, Algorithm::EdDSA).unwrap();
        assert_eq!(signature, SIGNATURE);
        let verify = |signature: &str, text: &str| {
            jsonwebtoken::crypto::verify(signature, text.as_bytes(), &public, Algorithm::EdDSA).unwrap()
        };
        assert!(verify(SIGNATURE, SIGNED));
        assert!(!verify(SIGNATURE, &SIGNED.replace("RXhh", "RXhi")), "another payload");
        for at in 0..64 {
            let mut changed = bytes(SIGNATURE);
            changed[at] ^= 1;
            assert!(!verify(&URL_SAFE_NO_PAD.encode(&changed), SIGNED), "byte {at} changed");
        }
        for length in [0, 32, 63, 65, 128] {
            let mut other = bytes(SIGNATURE);
            other.resize(length, 0);
            assert!(!verify(&URL_SAFE_NO_PAD.encode(&other), SIGNED), "{length} bytes");
        }
    }

    #[test]
    fn a_signature_has_one_form_only() {
        // The same signature with the group's order added to its second half (RFC 8032, 5.1.7).
        const ORDER: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let (_, public) = keys();
        let mut twin = bytes(SIGNATURE);
        let mut carry = 0;
        for (byte, added) in twin[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(added) + carry;
            *byte = (sum & 0xff) as u8;
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        let twin = URL_SAFE_NO_PAD.encode(twin);
        assert!(!jsonwebtoken::crypto::verify(&twin, SIGNED.as_bytes(), &public, Algorithm::EdDSA).unwrap());
    }

    #[test]
    fn no_other_algorithm_is_known() {
        let (private, public) = keys();
        for algorithm in [Algorithm::HS256, Algorithm::ES256, Algorithm::RS256, Algorithm::PS512] {
            assert!(jsonwebtoken::crypto::sign(b"text", &private, algorithm).is_err(), "{algorithm:?}");
            assert!(
                jsonwebtoken::crypto::verify(SIGNATURE, b"text", &public, algorithm).is_err(),
                "{algorithm:?}"
            );
        }
    }

    #[test]
    fn a_public_key_of_another_kind_verifies_nothing() {
        install();
        let secret = DecodingKey::from_secret(&bytes(PUBLIC));
        let verified = jsonwebtoken::crypto::verify(SIGNATURE, SIGNED.as_bytes(), &secret, Algorithm::EdDSA);
        assert!(verified.is_err());
    }
}
