use std::sync::LazyLock;

use proptest::prelude::{any, proptest};
use proptest::sample::Index;

use super::*;
use crate::fixtures::{HOUR, authority, identity, now};
use crate::token::JoinTokens;

const KEY: [u8; 32] = [7; 32];
const PASSPHRASE: &str = "correct horse battery staple";

static STATE: LazyLock<State> = LazyLock::new(|| {
    let mut tokens = JoinTokens::new();
    tokens.create(identity("payments").into(), HOUR, now()).unwrap();
    State { authority: authority(), tokens }
});

static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| Seal::new(&key()).seal(&STATE));

fn key() -> Secret {
    Secret::key_file(&KEY).unwrap()
}

fn passphrase() -> Secret {
    Secret::passphrase(PASSPHRASE).unwrap()
}

#[track_caller]
fn refused(bytes: &[u8], secret: &Secret, expected: CannotOpen) {
    assert_eq!(Seal::open(bytes, secret).map(drop), Err(expected));
}

#[test]
fn the_secret_opens_what_it_sealed() {
    for secret in [key(), passphrase()] {
        let sealed = Seal::new(&secret).seal(&STATE);
        let (state, seal) = Seal::open(&sealed, &secret).unwrap();
        assert_eq!(state.to_bytes(0), STATE.to_bytes(0));
        // And what its seal has sealed again, which is never the same.
        let again = seal.seal(&state);
        assert_ne!(again, sealed);
        let (state, _) = Seal::open(&again, &secret).unwrap();
        assert_eq!(state.to_bytes(0), STATE.to_bytes(0));
    }
}

#[test]
fn another_secret_does_not() {
    refused(&SEALED, &Secret::key_file(&[8; 32]).unwrap(), CannotOpen::WrongSecret);
    refused(&SEALED, &passphrase(), CannotOpen::NeedsKey);
    let sealed = Seal::new(&passphrase()).seal(&STATE);
    let other = Secret::passphrase("correct horse battery stable").unwrap();
    refused(&sealed, &other, CannotOpen::WrongSecret);
    refused(&sealed, &key(), CannotOpen::NeedsPassphrase);
}

#[test]
fn what_is_not_ours_is_told_from_what_is_damaged() {
    refused(b"", &key(), CannotOpen::Foreign);
    refused(b"-----BEGIN PRIVATE KEY-----", &key(), CannotOpen::Foreign);
    refused(MAGIC, &key(), CannotOpen::Damaged);
    refused(&SEALED[..HEAD_BYTES - 1], &key(), CannotOpen::Damaged);
    refused(&SEALED[..HEAD_BYTES], &key(), CannotOpen::Altered);
    refused(&SEALED[..SEALED.len() - 1], &key(), CannotOpen::Altered);
    let mut newer = SEALED.clone();
    newer[8] = 2;
    refused(&newer, &key(), CannotOpen::Version(2));
    let mut strange = SEALED.clone();
    strange[9] = 2;
    refused(&strange, &key(), CannotOpen::Damaged);
}

#[test]
fn a_passphrase_is_not_stretched_without_end() {
    let mut sealed = Seal::new(&passphrase()).seal(&STATE);
    for iterations in [0, ITERATIONS_MAX + 1, u32::MAX] {
        sealed[10..14].copy_from_slice(&iterations.to_be_bytes());
        refused(&sealed, &passphrase(), CannotOpen::Damaged);
    }
}

#[test]
fn nothing_of_the_state_is_to_be_seen() {
    let text = String::from_utf8_lossy(&SEALED);
    for word in ["cluster.local", "root", "key", "phase"] {
        assert!(!text.contains(word), "{word}");
    }
    let shown = format!("{:?} {:?} {:?}", key(), passphrase(), Seal::new(&key()));
    assert_eq!(shown, "Secret { .. } Secret { .. } Seal { .. }");
}

#[test]
fn the_format_of_the_first_version_is_still_opened() {
    let (state, _) = Seal::open(include_bytes!("testdata/version1.sealed"), &key()).unwrap();
    assert_eq!(state.authority.trust_domain().as_str(), "cluster.local");
    assert_eq!((state.authority.bundle().len(), state.tokens.len()), (2, 1));
}

#[test]
fn secrets_are_not_too_small() {
    let short = Secret::passphrase("elf letters");
    assert_eq!(short.map(drop), Err(InvalidSecret::Short(11)));
    assert!(Secret::passphrase("zwölf Zeichen").is_ok());
    let digits = "07".repeat(32);
    for text in [digits.clone(), digits.clone() + "\n", format!(" {digits}\r\n")] {
        let secret = Secret::key_file(text.as_bytes()).unwrap();
        assert!(Seal::open(&SEALED, &secret).is_ok(), "{text:?}");
    }
    for wrong in [&KEY[..31], &digits.as_bytes()[..63], b"", "g".repeat(64).as_bytes()] {
        let found = Secret::key_file(wrong).map(drop);
        assert_eq!(found, Err(InvalidSecret::KeyFile(wrong.len())));
    }
}

proptest! {
    #[test]
    fn any_change_is_noticed(at in any::<Index>(), bit in 0..8_u8) {
        let mut sealed = SEALED.clone();
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        let found = Seal::open(&sealed, &key()).map(drop).unwrap_err();
        if at >= HEAD_BYTES {
            assert_eq!(found, CannotOpen::Altered);
        }
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let with_magic = [MAGIC.as_slice(), &[VERSION, WITH_KEY, 0, 0, 0, 0], &bytes].concat();
        for bytes in [&bytes, &with_magic] {
            assert!(Seal::open(bytes, &key()).is_err());
        }
    }
}
