//! Secrets as the database stores them: sealed with a key that only the operator's settings contain.
//!
//! A sealed secret is `1 | key id (4 bytes) | nonce (12 bytes) | ChaCha20-Poly1305's ciphertext and tag`. The
//! context, such as the id of the secret's owner, is authenticated with it: a row that was copied to another
//! owner does not open.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{ExposeSecret, SecretString};

use super::text::Invalid;

const FORMAT: u8 = 1;
const KEY_LENGTH: usize = 32;
const ID_LENGTH: usize = 4;
const HEAD: usize = 1 + ID_LENGTH + NONCE_LEN;

/// The operator's keys: the first one seals, each of them opens.
pub struct Keyring {
    keys: Vec<Key>,
}

struct Key {
    id: [u8; ID_LENGTH],
    key: LessSafeKey,
}

impl Keyring {
    /// Parses keys from the settings: each of 32 bytes in base64 or in hex, separated by white space or
    /// commas. The first one seals. To rotate, put a new key before the old ones, and remove those when
    /// nothing is sealed with them any more.
    pub fn from_settings(text: &SecretString) -> Result<Self, Invalid> {
        let words = text.expose_secret().split([',', ' ', '\t', '\r', '\n']);
        let keys: Vec<Key> = words
            .filter(|word| !word.is_empty())
            .map(Key::parse)
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(Invalid::new("must hold a key"));
        }
        Ok(Self { keys })
    }

    /// Seals a text for the database. It opens with the same context only.
    pub fn seal(&self, context: &[u8], plain: &SecretString) -> Vec<u8> {
        let Key { id, key } = &self.keys[0];
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .expect("the system has random numbers");
        let mut text = plain.expose_secret().as_bytes().to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut text)
            .expect("a secret is far shorter than the cipher's limit");
        [&[FORMAT][..], id, &nonce, &text].concat()
    }

    /// Opens a sealed text; `None` if its key is not among these, the context differs, or the bytes were
    /// changed.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Option<SecretString> {
        let (head, text) = sealed.split_at_checked(HEAD)?;
        let (format, head) = head.split_first()?;
        let (id, nonce) = head.split_at_checked(ID_LENGTH)?;
        let key = self.keys.iter().find(|key| *format == FORMAT && key.id == id)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let plain = key.key.open_in_place(nonce, Aad::from(context), &mut text).ok()?;
        Some(SecretString::from(str::from_utf8(plain).ok()?))
    }
}

impl Key {
    fn parse(word: &str) -> Result<Self, Invalid> {
        let bytes = match word.len() {
            64 => hex::decode(word).ok(),
            _ => STANDARD.decode(word).ok(),
        };
        let bytes = bytes.filter(|bytes| bytes.len() == KEY_LENGTH).ok_or_else(|| {
            Invalid::new("a key must be 32 random bytes in base64 or hex: `openssl rand -base64 32`")
        })?;
        let digest = digest(&SHA256, &[b"slipway key id\0", &bytes[..]].concat());
        let id = digest
            .as_ref()
            .first_chunk()
            .copied()
            .expect("a digest is longer than an id");
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).expect("its length was checked");
        Ok(Self {
            id,
            key: LessSafeKey::new(key),
        })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| hex::encode(key.id)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &str) -> Keyring {
        Keyring::from_settings(&SecretString::from(keys)).expect("the keys are valid")
    }

    fn one(byte: u8) -> String {
        STANDARD.encode([byte; KEY_LENGTH])
    }

    fn opened(ring: &Keyring, context: &[u8], sealed: &[u8]) -> Option<String> {
        ring.open(context, sealed)
            .map(|plain| plain.expose_secret().to_owned())
    }

    #[test]
    fn what_is_sealed_opens_for_its_owner_alone() {
        let ring = ring(&one(1));
        let plain = SecretString::from("whsec_hunter22");
        let sealed = ring.seal(b"endpoint 1", &plain);
        assert_eq!(
            opened(&ring, b"endpoint 1", &sealed).as_deref(),
            Some("whsec_hunter22")
        );
        assert_eq!(opened(&ring, b"endpoint 2", &sealed), None);
        assert!(!sealed.windows(8).any(|window| window == b"hunter22"));
        assert_ne!(
            sealed,
            ring.seal(b"endpoint 1", &plain),
            "each one has its own nonce"
        );
    }

    #[test]
    fn no_changed_byte_opens() {
        let ring = ring(&one(1));
        let sealed = ring.seal(b"", &SecretString::from("secret"));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(opened(&ring, b"", &changed), None, "byte {at}");
            assert_eq!(opened(&ring, b"", &sealed[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let (old, new) = (one(1), hex::encode([2; KEY_LENGTH]));
        let before = ring(&old).seal(b"x", &SecretString::from("a"));
        let both = ring(&format!("{new}\n{old}\n"));
        let after = both.seal(b"x", &SecretString::from("b"));
        assert_eq!(opened(&both, b"x", &before).as_deref(), Some("a"));
        assert_eq!(opened(&both, b"x", &after).as_deref(), Some("b"));
        assert_eq!(opened(&ring(&old), b"x", &after), None);
        assert_eq!(opened(&ring(&new), b"x", &before), None);
    }

    #[test]
    fn what_is_no_key_is_refused_and_no_key_is_shown() {
        for text in ["", " \n", "short", &STANDARD.encode([1; 31]), &"g".repeat(64)] {
            assert!(
                Keyring::from_settings(&SecretString::from(text)).is_err(),
                "{text}"
            );
        }
        assert!(!format!("{:?}", ring(&one(1))).contains(&one(1)));
    }
}
