use super::*;
use crate::name::{FieldName, InvalidFieldName};

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.append(*name, value.as_bytes()).unwrap();
    }
    fields
}

fn written(fields: &Fields) -> String {
    let mut out = Vec::new();
    fields.write_to(&mut out, |_| false);
    String::from_utf8(out).unwrap()
}

#[test]
fn every_known_name_is_recognised() {
    for (index, known) in Known::ALL.iter().enumerate() {
        assert_eq!(*known as usize, index);
        let text = known.as_str();
        assert_eq!(text, text.to_ascii_lowercase());
        assert_eq!(Known::from_bytes(text.as_bytes()), Some(*known));
        assert_eq!(Known::from_bytes(text.to_ascii_uppercase().as_bytes()), Some(*known));
        // No byte that differs from the right one only in bit 5 passes for it, unless a letter.
        for at in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] ^= 0x20;
            let is_letter = text.as_bytes()[at].is_ascii_alphabetic();
            assert_eq!(Known::from_bytes(&other).is_some(), is_letter, "{other:?}");
            other[at] = b'!';
            assert_eq!(Known::from_bytes(&other), None);
        }
        assert_ne!(Known::from_bytes(format!("{text}x").as_bytes()), Some(*known));
        assert_ne!(Known::from_bytes(&text.as_bytes()[1..]), Some(*known));
    }
    assert_eq!(Known::from_bytes(b""), None);
    assert_eq!(Known::from_bytes(b"x"), None);
}

#[test]
fn names_are_checked() {
    assert_eq!(FieldName::new("X-Tenant").unwrap().as_str(), "x-tenant");
    assert_eq!(FieldName::new("HOST").unwrap(), FieldName::known(Known::Host));
    assert_eq!(FieldName::new("HOST").unwrap().id(), Some(Known::Host));
    for bad in ["", "a b", "a:", "a\r\n", "\u{e9}", "a(b)"] {
        assert_eq!(FieldName::new(bad), Err(InvalidFieldName), "{bad:?}");
    }
}

#[test]
fn looks_up_by_any_name() {
    let fields = fields(&[("Accept", "a"), ("X-Tenant", "t"), ("accept", "b"), ("x-tenant", "u")]);
    assert_eq!(fields.get(Known::Accept), Some(&b"a"[..]));
    assert_eq!(fields.get("ACCEPT"), Some(&b"a"[..]));
    assert_eq!(fields.get_str(FieldName::new("x-tenant").unwrap()), Some("t"));
    assert_eq!(fields.get_all(Known::Accept).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(fields.get_all("X-TENANT").collect::<Vec<_>>(), [b"t", b"u"]);
    assert!(!fields.contains("x-tenan"));
    assert!(!fields.contains(Known::Cookie));
    assert_eq!((fields.len(), fields.size_bytes()), (4, 48));
    let names: Vec<_> = fields.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["accept", "X-Tenant", "accept", "x-tenant"]);
}

#[test]
fn sets_appends_and_removes() {
    let mut all = fields(&[("A", "1"), ("Accept", "x"), ("a", "2"), ("B", "3"), ("accept", "y")]);
    all.set("a", b" new ").unwrap();
    all.set(Known::Accept, b"z").unwrap();
    all.set("c", b"4").unwrap();
    assert_eq!(written(&all), "a: new\r\naccept: z\r\nB: 3\r\nc: 4\r\n");
    assert_eq!(all.remove("b"), 1);
    assert_eq!(all.remove("b"), 0);
    assert_eq!(all.remove(Known::Accept), 1);
    assert_eq!(written(&all), "a: new\r\nc: 4\r\n");
    all.retain(|name, value| name == "c" && value == b"4");
    assert_eq!(written(&all), "c: 4\r\n");
    all.clear();
    assert!(all.is_empty());
    assert_eq!(written(&all), "");
}

#[test]
fn folds_names_of_one_class() {
    let mut all = fields(&[
        ("X-Auth-User", "1"),
        ("X_Auth_User", "2"),
        ("x.auth-USER", "3"),
        ("XAuthUser", "4"),
        ("X-Auth-Users", "5"),
    ]);
    assert_eq!(all.remove_folded("x-auth-user"), 3);
    assert_eq!(written(&all), "XAuthUser: 4\r\nX-Auth-Users: 5\r\n");
    let mut all = fields(&[("x_forwarded_for", "1"), ("X-Forwarded-For", "2")]);
    assert_eq!(all.remove_folded(Known::XForwardedFor), 2);
    let mut all = fields(&[("x_auth.user", "1"), ("X-AUTH-User", "2"), ("X-Auth-Users", "3")]);
    all.set_folded("X-Auth-User", b"4").unwrap();
    assert_eq!(written(&all), "X-Auth-User: 4\r\nX-Auth-Users: 3\r\n");
    assert!(all.set_folded("X-Auth-Users", b"\n").is_err());
    assert_eq!(all.len(), 2);
}

#[test]
fn refuses_what_would_split_a_message() {
    let mut all = Fields::new();
    for value in [&b"a\r\nb: c"[..], b"a\n", b"a\r", b"\0", b"a\x7f"] {
        assert_eq!(all.append("x", value), Err(InvalidFieldValue::Value));
        assert_eq!(all.set(Known::Accept, value), Err(InvalidFieldValue::Value));
    }
    for name in ["", "a b", "a:b", "a\r\nb", "\u{e9}"] {
        assert_eq!(all.append(name, b"v"), Err(InvalidFieldValue::Name));
    }
    assert_eq!(all.append("x", &vec![b'a'; 17 << 20]), Err(InvalidFieldValue::TooLarge));
    assert!(all.is_empty());
    all.append("x", b"tab\tand \xe9").unwrap();
    assert_eq!(all.get("x"), Some(&b"tab\tand \xe9"[..]));
}

#[test]
fn joins_values() {
    let mut all = fields(&[("a", "1"), ("Cookie", "x=1"), ("b", "2"), ("cookie", "y=2")]);
    all.join_with(Known::Cookie, b"; ", None::<fn(&mut Vec<u8>)>);
    assert_eq!(written(&all), "a: 1\r\ncookie: x=1; y=2\r\nb: 2\r\n");
    all.join_with(Known::Via, b", ", Some(|out: &mut Vec<u8>| out.extend_from_slice(b"me")));
    assert_eq!(all.get(Known::Via), Some(&b"me"[..]));
}

#[test]
fn debug_hides_credentials() {
    let all =
        fields(&[("Authorization", "Basic c2VjcmV0"), ("Cookie", "s=secret"), ("X", "shown")]);
    let text = format!("{all:?}");
    assert!(text.contains("shown") && !text.contains("c2Vj") && !text.contains("secret"), "{text}");
    // Whatever is hidden elsewhere is here, too.
    let all = fields(&[
        ("X-Auth-Token", "abc"),
        ("X-Forwarded-Tls-Client-Cert", "abc"),
        ("Referer", "https://shop/?token=abc"),
    ]);
    let text = format!("{all:?}");
    assert!(text.contains("https://shop/") && !text.contains("abc"), "{text}");
}
