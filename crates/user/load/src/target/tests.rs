use super::*;

fn options(url: &str) -> Options {
    let mut options = Options::new(url);
    options.connect_to = Some(([127, 0, 0, 1], 1).into());
    options
}

/// The HTTP/1.1 bytes of `options`, without the user-agent line.
fn h1_text(options: &Options) -> String {
    let plan = Plan::new(options).expect("the options are valid");
    let text = String::from_utf8(plan.h1_request).expect("the request is text");
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("user-agent")).collect()
}

#[test]
fn the_request_bytes_follow_the_options() {
    assert_eq!(h1_text(&options("a.test:81")), "GET / HTTP/1.1\r\nHost: a.test:81\r\n\r\n");
    let mut post = options("http://a.test/p?q=1");
    post.method = "POST".to_owned();
    post.headers = vec![("X-A".to_owned(), " 1 ".to_owned())];
    post.body = b"hi".to_vec();
    post.host = Some("b.test".to_owned());
    post.keep_alive = false;
    assert_eq!(
        h1_text(&post),
        "POST /p?q=1 HTTP/1.1\r\nHost: b.test\r\nx-a: 1\r\ncontent-length: 2\r\n\
         connection: close\r\n\r\nhi",
    );
    post.headers.push(("Host".to_owned(), "c.test".to_owned()));
    assert!(h1_text(&post).contains("\r\nHost: c.test\r\n"));
    let plan = Plan::new(&post).expect("the options are valid");
    assert_eq!(plan.h2_request.uri().to_string(), "http://c.test/p?q=1");
    assert_eq!(plan.h2_request.headers()["content-length"], "2");
}

#[test]
fn senseless_options_are_refused_by_name() {
    let check = |change: &dyn Fn(&mut Options), expected: &str| {
        let mut options = options("http://a.test/");
        change(&mut options);
        let error = Plan::new(&options).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(expected));
    };
    let set = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    check(&|o| o.connections = 0, "invalid option connections: must be at least 1");
    check(&|o| o.threads = 0, "invalid option threads: must be from 1 to 1,024");
    check(&|o| o.threads = 1025, "invalid option threads: must be from 1 to 1,024");
    check(&|o| o.streams = 0, "invalid option streams: must be at least 1");
    check(&|o| o.method = "G T".to_owned(), "invalid method \"G T\"");
    for rate in [-1.0, 0.0, 1e-300, 1e300, f64::NAN, f64::INFINITY] {
        check(
            &|o| o.rate_per_sec = Some(rate),
            "invalid option rate: must be from 0.001 to 1,000,000,000 requests per second",
        );
    }
    for (connections, streams) in [(1_000_001, 1), (1_000, 1_001), (usize::MAX, 2)] {
        check(
            &|o| (o.connections, o.streams) = (connections, streams),
            "invalid option connections: with all their streams must be at most 1,000,000",
        );
    }
    check(&|o| o.headers = set("a b", "c"), "invalid header \"a b\": the name is not a token");
    check(
        &|o| o.headers = set("a", "b\r\nc: d"),
        "invalid header \"a\": the value has forbidden characters",
    );
    check(
        &|o| o.headers = set("Content-Length", "3"),
        "invalid header \"Content-Length\": the framing follows the body",
    );
    check(
        &|o| o.url = "ftp://a.test/".to_owned(),
        "invalid URL \"ftp://a.test/\": the scheme must be http or https",
    );
    check(
        &|o| o.url = "http://u:p@a.test/".to_owned(),
        "invalid URL \"http://u:p@a.test/\": user information is not supported, use a header",
    );
}

#[test]
fn shares_add_up() {
    for (total, parts) in [(0, 1), (7, 3), (200, 2), (2, 5)] {
        let sum: u64 = (0..parts).map(|index| share(total, parts, index)).sum();
        assert_eq!(sum, total);
    }
}

#[test]
fn a_run_without_bounds_gets_the_default_count() {
    let mut options = options("http://a.test/");
    assert_eq!(options.effective_requests(), Some(200));
    options.duration = Some(Duration::from_secs(1));
    assert_eq!(options.effective_requests(), None);
    options.requests = Some(3);
    assert_eq!(options.effective_requests(), Some(3));
}
