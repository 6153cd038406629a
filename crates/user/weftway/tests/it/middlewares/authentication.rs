//! Who the user is: `basicAuth` and `forwardAuth`.

use weft_testkit::{Next, RawOrigin, Reserved};

use super::{get, pair};
use crate::common::{USERS, through};

#[test]
fn basic_auth() {
    let origin = RawOrigin::start("echo");
    let spec = "  basicAuth:\n    secret: users\n    realm: staff\n    headerField: X-User\n    \
                removeHeader: true";
    let gateway = through(&origin, &[("it", spec)]).document("users.yaml", USERS).start();
    let refused = [
        "",
        "Authorization: Basic dGVzdDp3cm9uZw==\r\n",
        "Authorization: Basic bm9ib2R5OnRlc3Q=\r\n",
        "Authorization: Basic !!!\r\n",
        "Authorization: Bearer dGVzdDp0ZXN0\r\n",
        "Authorization: Basic dGVzdDp0ZXN0\r\nAuthorization: Basic dGVzdDp3cm9uZw==\r\n",
    ];
    for header in refused {
        let response = get(&gateway, "/", header);
        assert_eq!(response.status, 401, "{header}");
        assert_eq!(response.header("www-authenticate"), Some("Basic realm=\"staff\""));
    }
    assert!(origin.requests().is_empty());
    for (header, user) in [("dGVzdDp0ZXN0", "test"), ("c2hhOnRlc3Q=", "sha")] {
        let more = format!("Authorization: Basic {header}\r\nX-User: root\r\nX_User: root\r\n");
        let echo = get(&gateway, "/", &more).echo();
        assert_eq!(echo.headers_named("x-user").collect::<Vec<_>>(), [user]);
        assert_eq!((echo.header("authorization"), echo.header("x_user")), (None, None));
    }
}

#[test]
fn forward_auth_asks_and_copies() {
    let (origin, judge) = (RawOrigin::start("echo"), RawOrigin::start("judge"));
    judge.on("/check", |x| {
        let allowed = x.request().header("authorization") == Some("good");
        if allowed {
            x.respond(200, &[("X-User", "alice"), ("X-Other", "no")], "")?;
        } else {
            x.respond(401, &[("WWW-Authenticate", "Custom")], "say who you are")?;
        }
        Ok(Next::KeepAlive)
    });
    let spec = format!(
        "  forwardAuth:\n    address: http://{}/check\n    authResponseHeaders: [X-User]",
        judge.addr()
    );
    let gateway = through(&origin, &[("it", &spec)]).start();
    let response = get(&gateway, "/x?y=1", "X-User: root\r\n");
    assert_eq!((response.status, &*response.text()), (401, "say who you are"));
    assert_eq!(response.header("www-authenticate"), Some("Custom"));
    assert!(origin.requests().is_empty());
    let asked = &judge.requests()[0];
    assert_eq!((&*asked.method, asked.header("x-forwarded-method")), ("GET", Some("GET")));
    assert_eq!(asked.header("x-forwarded-uri"), Some("/x?y=1"));
    assert_eq!(asked.header("x-forwarded-host"), Some("a.test"));
    assert_eq!(asked.header("x-forwarded-proto"), Some("http"));

    let head = "POST /x HTTP/1.1\r\nHost: a.test\r\nAuthorization: good\r\nX-User: root\r\n";
    let response =
        gateway.client().request(format!("{head}X.User: root\r\nContent-Length: 3\r\n\r\nabc"));
    let echo = response.echo();
    assert_eq!(echo.headers_named("x-user").collect::<Vec<_>>(), ["alice"]);
    assert_eq!((echo.header("x.user"), echo.header("x-other")), (None, None));
    assert_eq!(echo.body.as_deref(), Some("abc"));
    assert_eq!(judge.requests()[1].body, b"");
}

#[test]
fn forward_auth_that_cannot_be_reached_fails_closed() {
    let nowhere = Reserved::any();
    let (origin, gateway) =
        pair(&format!("  forwardAuth:\n    address: http://{}/check", nowhere.addr()));
    assert_eq!(get(&gateway, "/", "").status, 500);
    assert!(origin.requests().is_empty());
}
