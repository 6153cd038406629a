//! Signing requests: no panic; what is accepted is certified for whom it should be, and nobody
//! else; what is accepted as PEM is accepted as DER.

#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use weft_authority::{Authority, CannotIssue, Lifetimes, prove_possession};
use weft_model::identity::{Identity, TrustDomain};

static NOW: LazyLock<SystemTime> =
    LazyLock::new(|| UNIX_EPOCH + Duration::from_secs(1_800_000_000));

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    Authority::generate(TrustDomain::default(), Lifetimes::default(), *NOW)
        .expect("the default lifetimes are valid")
});

fuzz_target!(|data: &[u8]| {
    let proven = prove_possession(data);
    let identity =
        Identity::new(&TrustDomain::default(), "shop", "payments").expect("the names are valid");
    match (AUTHORITY.sign(data, &identity, *NOW), &proven) {
        (Ok(issued), Ok(_)) => {
            let verified = issued.bundle.verify(&issued.chain, *NOW).expect("peers accept it");
            assert_eq!(verified.identity, identity);
        }
        (Err(CannotIssue::Csr { source, .. }), Err(error)) => assert_eq!(source, *error),
        (issued, proven) => panic!("{issued:?}, but {proven:?}"),
    }
    // The forms agree, as long as PEM itself is short enough to be read.
    if data.first() == Some(&0x30) && data.len() < 8192 {
        let base64 = STANDARD.encode(data);
        let pem = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{base64}\n-----END CERTIFICATE REQUEST-----\n"
        );
        assert_eq!(prove_possession(pem.as_bytes()), proven);
    }
});
