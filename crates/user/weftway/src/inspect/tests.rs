use super::*;

#[test]
fn text_is_escaped_for_a_query() {
    assert_eq!(escaped("GET http://a/b?c=d&e"), "GET%20http%3A%2F%2Fa%2Fb%3Fc%3Dd%26e");
    assert_eq!(escaped("ä~-_."), "%C3%A4~-_.");
}

#[tokio::test]
async fn a_newer_proxy_is_asked_in_place_of_the_older() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SOCKET);
    let older = crate::control::bind_unix_in_place(&path).unwrap();
    let newer = crate::control::bind_unix_in_place(&path).unwrap();
    let _asked = UnixStream::connect(&path).await.unwrap();
    tokio::select! {
        biased;
        accepted = newer.accept() => drop(accepted.unwrap()),
        _ = older.accept() => panic!("the older one is asked"),
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}
