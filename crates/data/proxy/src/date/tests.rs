use super::*;

/// The example of RFC 9110 section 5.6.7, and clocks that were never set.
#[test]
fn its_form_is_that_of_http() {
    let at = |secs| UNIX_EPOCH + Duration::from_secs(secs);
    for (now, expected) in [
        (at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT"),
        (at(0), "Thu, 01 Jan 1970 00:00:00 GMT"),
        (UNIX_EPOCH - Duration::from_secs(1), "Thu, 01 Jan 1970 00:00:00 GMT"),
        (UNIX_EPOCH + LAST * 2, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        assert_eq!(std::str::from_utf8(&text(now)).unwrap(), expected);
    }
}

#[test]
fn a_date_that_is_there_stays() {
    let date = Date::now();
    let mut head = ResponseHead::new();
    date.put(&mut head);
    assert!(head.fields.get_str(Known::Date).is_some_and(|text| text.ends_with(" GMT")));
    let own = b"Sun, 06 Nov 1994 08:49:37 GMT";
    head.fields.set(Known::Date, own).unwrap();
    date.put(&mut head);
    assert_eq!(head.fields.get_all(Known::Date).collect::<Vec<_>>(), [own]);
}
