use weft_message::Method;

use super::*;

fn head(fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method(Method::Post);
    head.set_authority("shop.example:8080").expect("valid");
    head.set_path("/cart").expect("valid");
    head.set_query(Some("item=1")).expect("valid");
    for (name, value) in fields {
        head.fields.append(*name, value.as_bytes()).expect("valid");
    }
    head
}

fn copied(fields: &[(&str, &str)]) -> RequestHead {
    let mut to = head(&[("left", "over")]);
    copy_head(&head(fields), &mut to);
    to
}

#[test]
fn a_head_is_copied_without_its_secrets() {
    let copy = copied(&[
        ("Accept", "*/*"),
        ("Authorization", "Bearer abc"),
        ("Cookie", "session=abc"),
        ("X-Auth-Token", "abc"),
        ("X-Access-KEY", "abc"),
        ("x-user", "7"),
    ]);
    assert_eq!((copy.method(), copy.authority()), (&Method::Post, "shop.example:8080"));
    assert_eq!(copy.path_and_query(), "/cart?item=1");
    let lines: Vec<_> = copy
        .fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect();
    let expected = [
        "accept: */*",
        "authorization: (hidden)",
        "cookie: (hidden)",
        "X-Auth-Token: (hidden)",
        "X-Access-KEY: (hidden)",
        "x-user: 7",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn secrets_of_a_query_are_not_copied_either() {
    let mut from = head(&[("Referer", "https://shop.example/?token=abc")]);
    from.set_query(Some("item=1&access_token=abc")).expect("valid");
    let mut to = RequestHead::new();
    copy_head(&from, &mut to);
    assert_eq!(to.query(), Some("item=1&access_token=(hidden)"));
    assert_eq!(to.fields.get_str("referer"), Some("https://shop.example/"));
}

#[test]
fn a_head_takes_no_more_than_so_much() {
    let long = "v".repeat(VALUE_BYTES_MAX + 1);
    let many: Vec<_> = (0..40).map(|index| format!("x-{index}")).collect();
    let fields: Vec<_> = many.iter().map(|name| (&**name, &*long)).collect();
    let copy = copied(&fields);
    assert!(copy.fields.size_bytes() <= HEAD_BYTES_MAX + 4);
    assert_eq!(copy.fields.get("x-0").map(<[u8]>::len), Some(VALUE_BYTES_MAX));
    assert!(copy.fields.len() > 10);
}

#[test]
fn the_oldest_falls_out() {
    let samples = Samples::default();
    let sampler = samples.sampler(time::now());
    for index in 0..KEPT_PER_WORKER + 3 {
        let mut draft = sampler.spare.borrow_mut().pop().unwrap_or_default();
        draft.head = head(&[("x-request-id", &format!("id-{index}"))]);
        sampler.keep(draft);
    }
    let ids: Vec<_> = {
        let drafts = sampler.ring.0.lock().unwrap();
        drafts.iter().map(|draft| draft.request_id().unwrap().to_owned()).collect()
    };
    assert_eq!(ids.len(), KEPT_PER_WORKER);
    assert_eq!(ids.first().map(String::as_str), Some("id-3"));
    assert_eq!(sampler.spare.borrow().len(), 1, "what falls out is used again");
}
