//! Canonical paths: no panic; one form only; nothing another reader could take for a way up.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_message::{InvalidTarget, PathRules, RequestHead, canonical_path};

fuzz_target!(|data: &[u8]| {
    let Ok(path) = std::str::from_utf8(data) else { return };
    let strict = canonical_path(path, &PathRules::default());
    let lenient = canonical_path(path, &PathRules::PERMISSIVE);
    if let Ok(strict) = &strict {
        assert_eq!(lenient.as_ref(), Ok(strict), "rules only let more through");
        check(strict);
        check_strict(strict);
    }
    if let Ok(lenient) = &lenient {
        assert_eq!(canonical_path(lenient, &PathRules::PERMISSIVE).as_ref(), Ok(lenient));
        check(lenient);
    }
    let mut head = RequestHead::new();
    let set = head.set_path(path);
    match &lenient {
        Ok(lenient) if lenient == path => assert_eq!((set, head.path()), (Ok(()), path)),
        Ok(_) => assert_eq!((set, head.path()), (Err(InvalidTarget::NotCanonical), "")),
        Err(error) => assert_eq!((set, head.path()), (Err(*error), "")),
    }
});

fn check(path: &str) {
    assert!(path.starts_with('/') && !path.contains("//") && !path.contains('\\'));
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'?')));
    for segment in path.split(['/', ';']) {
        assert!(!matches!(segment, "." | "..") || path.contains(';'), "{path}");
    }
    assert!(path.split('/').all(|segment| !matches!(segment, "." | "..")), "{path}");
}

/// Decoding once more, as a careless origin does, gives the same segments.
fn check_strict(path: &str) {
    let decoded = decode(path.as_bytes());
    assert!(std::str::from_utf8(&decoded).is_ok());
    assert!(!decoded.contains(&0) && !decoded.contains(&b'\\'));
    let count = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'/').count();
    assert_eq!(count(&decoded), count(path.as_bytes()));
    for segment in decoded.split(|&byte| byte == b'/') {
        let name = segment.split(|&byte| byte == b';').next();
        assert!(!matches!(name, Some(b"." | b"..")), "{path}");
    }
    let twice = decode(&decoded);
    assert_eq!(count(&twice), count(&decoded), "{path}");
    assert!(twice.split(|&byte| byte == b'/').all(|segment| !matches!(segment, b"." | b"..")));
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        let digits = path.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = digits
            .filter(|hex| path[at] == b'%' && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(byte.unwrap_or(path[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    out
}
