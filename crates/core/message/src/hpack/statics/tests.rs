use super::*;

#[test]
fn every_entry_is_found() {
    for index in 1..=LEN {
        let (kind, value) = entry(index).unwrap();
        assert_eq!(find(kind, value), Some(index));
        let first = find_name(kind).unwrap();
        assert!((first..=index).all(|index| entry(index).unwrap().0 == kind));
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    assert_eq!(entry(0), None);
    assert_eq!(entry(62), None);
    assert_eq!(find_name(Kind::Other), None);
    assert_eq!(find_name(Kind::Pseudo(Pseudo::Protocol)), None);
    assert_eq!(find(Kind::Pseudo(Pseudo::Status), b"201"), None);
    assert_eq!(find(Kind::Known(Known::AcceptEncoding), b"gzip"), None);
    assert_eq!(find(Kind::Known(Known::Via), b"edge"), None);
}
