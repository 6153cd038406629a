use super::*;

#[test]
fn verifies_known_hashes() {
    // Stored hash, password. MD5 from OpenSSL, bcrypt from the vectors of jBCrypt and
    // crypt_blowfish.
    let cases: &[(&str, &[u8])] = &[
        ("$apr1$12345678$sHuPAw7VA9xjRbJz7zKV7/", b""),
        ("$apr1$abc$BfqKdn9xFDWJPa3kcp/PH0", b""),
        ("$apr1$12345678$68ZQVfPkWX/wcXr/41VxQ.", b"a"),
        ("$apr1$abc$RUt4qVhwNewYFWnPyK2Vf/", b"a"),
        ("$apr1$12345678$0lqb/6VUFP8JY/s/jTrIk0", b"secret"),
        ("$apr1$abc$PZF73YJz5hJ9yyI.7OP.R.", b"secret"),
        ("$apr1$12345678$RkSsHiO1RUdjaoav57ZaW/", b"a much longer password than sixteen bytes"),
        ("$apr1$abc$.kub6C9IpUJdLZraWLyC4.", "pässwörd".as_bytes()),
        ("$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/", b"test"),
        ("$1$saltsalt$9xy1btjgzLYfb7hivXtC//", b"secret"),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", b"secret"),
        ("$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.", b""),
        ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", b"U*U"),
        ("$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", b"\xff\xff\xa3"),
    ];
    for (stored, password) in cases {
        let hash = PasswordHash::parse(stored).expect("a supported hash");
        assert!(hash.verify(password), "{stored}");
        assert!(!hash.verify(b"wrong"), "{stored}");
        assert!(!hash.verify(&[password, &b"x"[..]].concat()), "{stored}");
    }
}

#[test]
fn refuses_what_cannot_be_checked() {
    let rest = "./OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3";
    assert_eq!(rest.len(), 53);
    let cases = [
        (String::new(), UnsupportedHash::Kind),
        ("plain".into(), UnsupportedHash::Kind),
        ("$5$salt$hash".into(), UnsupportedHash::Kind),
        ("rl.3StKT.4T8M".into(), UnsupportedHash::Kind),
        ("{SHA}".into(), UnsupportedHash::Malformed),
        ("{SHA}!!".into(), UnsupportedHash::Malformed),
        ("{SHA}AAAA".into(), UnsupportedHash::Malformed),
        ("$apr1$onlysalt".into(), UnsupportedHash::Malformed),
        ("$apr1$waytoolongsalt$sHuPAw7VA9xjRbJz7zKV7/".into(), UnsupportedHash::Malformed),
        ("$apr1$salt$short".into(), UnsupportedHash::Malformed),
        (format!("$2y$5${rest}"), UnsupportedHash::Malformed),
        (format!("$2y$03${rest}"), UnsupportedHash::Malformed),
        (format!("$2y$05${rest}x"), UnsupportedHash::Malformed),
        (format!("$2y$05${}", rest.replace('V', "é")), UnsupportedHash::Malformed),
        (format!("$2y$17${rest}"), UnsupportedHash::Cost(17)),
        (format!("$2y$31${rest}"), UnsupportedHash::Cost(31)),
    ];
    for (text, expected) in cases {
        assert_eq!(PasswordHash::parse(&text), Err(expected), "{text}");
    }
}

#[test]
fn long_passwords_are_wrong_without_work() {
    let long = vec![b'a'; PASSWORD_BYTES_MAX + 1];
    let hash = STANDARD.encode(Sha1::digest(&long));
    let stored = format!("{{SHA}}{hash}");
    assert!(!PasswordHash::parse(&stored).expect("a supported hash").verify(&long));
}

#[test]
fn slow_kinds_are_costly() {
    let costly = |text| PasswordHash::parse(text).expect("a supported hash").is_costly();
    assert!(costly("$apr1$abc$PZF73YJz5hJ9yyI.7OP.R."));
    assert!(costly("$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."));
    assert!(!costly("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="));
}
