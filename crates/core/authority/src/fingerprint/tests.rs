use proptest::prelude::{any, proptest};

use super::*;

#[test]
fn it_is_the_sha256() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(Fingerprint::of(b"").to_string(), empty);
    assert_eq!(Fingerprint::of(b"").short(), "e3b0c442");
}

#[test]
fn other_texts_are_refused() {
    for text in ["", "e3b0", &"g".repeat(64), &"é".repeat(32), &"0".repeat(65)] {
        assert_eq!(text.parse::<Fingerprint>(), Err(InvalidFingerprint(text.into())));
    }
}

proptest! {
    #[test]
    fn texts_round_trip(bytes in any::<[u8; 32]>()) {
        let fingerprint = Fingerprint::from_bytes(bytes);
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(fingerprint.to_string().to_uppercase().parse(), Ok(fingerprint));
    }
}
