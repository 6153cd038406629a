use super::*;

fn parse(text: &str) -> Result<String, InvalidQuestion> {
    Question::parse(text, []).map(|question| question.words())
}

#[test]
fn a_request_is_read_as_it_is_written() {
    let cases = [
        ("GET http://payments:8080/v2/charge", "GET http://payments:8080/v2/charge"),
        ("POST https://Shop.example", "POST https://shop.example/"),
        ("http://a?x=1&y=2", "GET http://a/?x=1&y=2"),
        ("  DELETE   http://[::1]:90/a/b ", "DELETE http://[::1]:90/a/b"),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_request_is_named() {
    let cases = [
        ("payments:8080/x", InvalidQuestion::Form("payments:8080/x".into())),
        ("GET ftp://a/", InvalidQuestion::Scheme("ftp".into())),
        ("G@T http://a/", InvalidQuestion::Method("G@T".into())),
        ("GET http://a b/", InvalidQuestion::Host("a b".into())),
        ("GET http://a/%zz", InvalidQuestion::Target("/%zz".into())),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Err(expected), "{text}");
    }
    let header = Question::parse("GET http://a/", ["no colon"]).unwrap_err();
    assert_eq!(header, InvalidQuestion::Header("no colon".into()));
}

#[test]
fn headers_and_ports_are_those_written() {
    let question = Question::parse("GET https://a/", ["X-User: 7", "x-user:8"]).unwrap();
    let users: Vec<_> = question.head.fields.get_all("x-user").collect();
    assert_eq!(users, [b"7", b"8"]);
    assert_eq!(question.port(), 443);
    assert_eq!(Question::parse("http://a:81/", []).unwrap().port(), 81);
}
