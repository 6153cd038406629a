use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use weft_model::outcome::Reason;

use super::*;
use crate::testing::{lines, name, request};

const APR1_SECRET: &str = "$apr1$abc$PZF73YJz5hJ9yyI.7OP.R.";
const SHA_SECRET: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
const SHA_A: &str = "{SHA}hvfkN/qlp/zhXR3cuerq6jd2Z7g=";

fn settings(users: &[(&str, &str)]) -> BasicAuth {
    BasicAuth {
        users: users.iter().map(|(user, hash)| ((*user).into(), (*hash).into())).collect(),
        realm: "traefik".into(),
        header: None,
        remove_header: false,
    }
}

fn credentials(user: &str, password: &str) -> Credentials {
    Credentials { user: user.as_bytes().into(), password: password.as_bytes().into() }
}

fn header(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn cache() -> CredentialCache {
    CredentialCache::new([1; 32], 16)
}

#[test]
fn reads_credentials() {
    let cases: &[(&str, Option<(&str, &str)>)] = &[
        ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some(("Aladdin", "open sesame"))),
        ("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some(("Aladdin", "open sesame"))),
        ("BASIC  QWxhZGRpbjpvcGVuIHNlc2FtZQ", Some(("Aladdin", "open sesame"))),
        // The first colon ends the user.
        ("Basic YTpiOmM=", Some(("a", "b:c"))),
        ("Basic Og==", Some(("", ""))),
        ("Basic YQ==", None),
        ("Basic", None),
        ("Basic ", None),
        ("BasicYTpi", None),
        ("Bearer YTpi", None),
        ("Basic YT*pi", None),
        ("Basic YTpi YTpi", None),
        ("", None),
    ];
    for (text, expected) in cases {
        let expected = expected.map(|(user, password)| credentials(user, password));
        assert_eq!(Credentials::parse(text.as_bytes()), expected, "{text}");
    }
    let long = header("a", &"x".repeat(HEADER_BYTES_MAX));
    assert_eq!(Credentials::parse(long.as_bytes()), None);
}

#[test]
fn quick_hashes_are_checked_at_once() {
    let settings = settings(&[("ann", SHA_SECRET), ("bob", SHA_A), ("bad", "{SHA}?")]);
    let cases = [
        ("ann", "secret", Check::Ok("ann")),
        ("bob", "a", Check::Ok("bob")),
        ("ann", "a", Check::Wrong),
        ("bob", "secret", Check::Wrong),
        ("ANN", "secret", Check::Wrong),
        ("an", "secret", Check::Wrong),
        // The first user's hash is computed for the time it takes; it lets nobody in.
        ("eve", "secret", Check::Wrong),
        ("", "", Check::Wrong),
        ("bad", "secret", Check::Wrong),
    ];
    for (user, password, expected) in cases {
        assert_eq!(check(&settings, &credentials(user, password)), expected, "{user} {password}");
    }
    assert_eq!(check(&self::settings(&[]), &credentials("", "")), Check::Wrong);
}

#[test]
fn of_equal_names_the_last_counts() {
    let settings = settings(&[("ann", SHA_SECRET), ("ann", SHA_A)]);
    assert_eq!(check(&settings, &credentials("ann", "a")), Check::Ok("ann"));
    assert_eq!(check(&settings, &credentials("ann", "secret")), Check::Wrong);
}

#[track_caller]
fn job(settings: &BasicAuth, user: &str, password: &str) -> VerifyJob {
    match check(settings, &credentials(user, password)) {
        Check::Costly(job) => job,
        other => panic!("expected a job, got {other:?}"),
    }
}

#[test]
fn slow_hashes_are_jobs_for_known_and_unknown_users() {
    let settings = settings(&[("ann", APR1_SECRET), ("bob", SHA_A)]);
    let right = job(&settings, "ann", "secret");
    assert!(right.run());
    assert_eq!(right.user(), "ann");
    assert!(!job(&settings, "ann", "wrong").run());
    // The same hash, even with a password that fits it.
    let unknown = job(&settings, "eve", "secret");
    assert_eq!(unknown.hash, right.hash);
    assert!(!unknown.run());
    // No work for what can never be right.
    let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
    assert_eq!(check(&settings, &credentials("ann", &long)), Check::Wrong);
}

#[test]
fn a_cache_saves_the_work() {
    let before = settings(&[("ann", APR1_SECRET)]);
    let mut cache = cache();
    let head =
        |user, password| request("GET http://a/", &[("Authorization", &header(user, password))]);
    let Check::Costly(job) = authenticate(&before, &head("ann", "secret"), &cache) else {
        panic!("a job the first time");
    };
    assert!(job.run());
    cache.insert(job.digest(&cache));
    assert_eq!(authenticate(&before, &head("ann", "secret"), &cache), Check::Ok("ann"));
    for (settings, user, password) in [
        (&before, "ann", "wrong"),
        (&before, "eve", "secret"),
        // A changed hash, even of the same password, is checked anew.
        (&settings(&[("ann", "$apr1$12345678$0lqb/6VUFP8JY/s/jTrIk0")]), "ann", "secret"),
        // A user who is gone is unknown, whoever has the hash now.
        (&settings(&[("bob", APR1_SECRET)]), "ann", "secret"),
    ] {
        let found = authenticate(settings, &head(user, password), &cache);
        assert!(matches!(found, Check::Costly(_)), "{user} {password}: {found:?}");
    }
}

#[test]
fn doubtful_headers_are_wrong() {
    let settings = settings(&[("ann", SHA_SECRET)]);
    let right = header("ann", "secret");
    let field = ("Authorization", &*right);
    let check = |fields: &[(&str, &str)]| {
        let head = request("GET http://a/", fields);
        matches!(authenticate(&settings, &head, &cache()), Check::Ok("ann"))
    };
    assert!(check(&[field]));
    assert!(!check(&[]));
    assert!(!check(&[field, field]));
    assert!(!check(&[field, ("authorization", "Bearer x")]));
}

#[test]
fn accepting_names_the_user_and_hides_the_password() {
    let settings = BasicAuth {
        header: Some(name("X-Auth-User")),
        remove_header: true,
        ..settings(&[("ann", SHA_SECRET)])
    };
    let mut head = request(
        "GET http://a/",
        &[
            ("X_Auth_User", "root"),
            ("x.auth.user", "root"),
            ("X-Auth-User", "root"),
            ("Authorization", "Basic x"),
            ("Accept", "*/*"),
        ],
    );
    accept(&settings, "ann", &mut head).expect("it fits");
    assert_eq!(lines(&head.fields), ["accept: */*", "x-auth-user: ann"]);

    let plain = self::settings(&[("ann", SHA_SECRET)]);
    let mut head = request("GET http://a/", &[("Authorization", "Basic x")]);
    accept(&plain, "ann", &mut head).expect("it fits");
    assert_eq!(lines(&head.fields), ["authorization: Basic x"]);
}

#[test]
fn the_challenge_names_the_realm() {
    let answer = unauthorized(&settings(&[]), Asker::default());
    assert_eq!((answer.status(), answer.reason), (401, Reason::Unauthorized));
    let challenge = answer.head.fields.get_str(Known::WwwAuthenticate);
    assert_eq!(challenge, Some("Basic realm=\"traefik\""));
    let settings = BasicAuth { realm: "a\"b\\c\r\nd".into(), ..settings(&[]) };
    let answer = unauthorized(&settings, Asker::default());
    let challenge = answer.head.fields.get_str(Known::WwwAuthenticate);
    assert_eq!(challenge, Some(r#"Basic realm="a\"b\\cd""#));
}

#[test]
fn nothing_shows_a_password() {
    let credentials = credentials("ann", "hunter2");
    assert_eq!(format!("{credentials:?}"), "Credentials { user: \"ann\", .. }");
    let job = job(&settings(&[("ann", APR1_SECRET)]), "ann", "hunter2");
    assert_eq!(format!("{job:?}"), "VerifyJob { user: \"ann\", .. }");
}

proptest! {
    #[test]
    fn any_header_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Credentials::parse(&bytes);
        let _ = Credentials::parse(&[b"Basic ", &bytes[..]].concat());
        let _ = PasswordHash::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn what_is_sent_is_read(user in "[^:\\x00]{0,20}", password in "\\PC{0,20}") {
        let read = Credentials::parse(header(&user, &password).as_bytes());
        prop_assert_eq!(read, Some(credentials(&user, &password)));
    }
}
