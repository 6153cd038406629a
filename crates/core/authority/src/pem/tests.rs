use proptest::prelude::{any, proptest};

use super::*;

#[test]
fn certificates_are_found_among_other_blocks() {
    let text = format!(
        "a comment\n{}{}{}",
        block("CERTIFICATE", b"one"),
        block("PUBLIC KEY", b"no"),
        block("CERTIFICATE", b"two")
    );
    let found = certificates(text.as_bytes()).unwrap();
    assert_eq!(found, [CertificateDer::from_slice(b"one"), CertificateDer::from_slice(b"two")]);
}

#[test]
fn each_fault_is_told() {
    assert_eq!(certificates(b""), Err(BadPem::NoCertificate));
    assert_eq!(private_key(b""), Err(BadPem::NoKey));
    let encrypted = block("ENCRYPTED PRIVATE KEY", b"x");
    assert_eq!(private_key(encrypted.as_bytes()), Err(BadPem::EncryptedKey));
    let cut = &block("CERTIFICATE", &[7; 99])[..80];
    assert!(matches!(certificates(cut.as_bytes()), Err(BadPem::Syntax(_))));
    let cut = &block("PRIVATE KEY", &[7; 99])[..80];
    assert!(matches!(private_key(cut.as_bytes()), Err(BadPem::Syntax(_))));
}

proptest! {
    #[test]
    fn what_is_written_is_read(der in proptest::collection::vec(any::<u8>(), 1..300)) {
        let text = block("CERTIFICATE", &der);
        assert!(text.lines().all(|line| line.len() <= LINE_CHARS));
        assert_eq!(certificates(text.as_bytes()), Ok(vec![CertificateDer::from(der)]));
    }

    #[test]
    fn texts_never_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = certificates(&text);
        let _ = private_key(&text);
    }
}
