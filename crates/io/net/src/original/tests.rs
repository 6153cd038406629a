use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::net::TcpListener;

use super::*;

#[test]
fn a_redirection_is_told_from_a_call_to_us() {
    let check = |local: &str, remembered: io::Result<&str>, expected: Result<(&str, bool), i32>| {
        let remembered = remembered.map(|addr| addr.parse().unwrap());
        let found = decide(local.parse().unwrap(), remembered);
        let found = found.map(|found| (found.addr.to_string(), found.is_redirected));
        let found = found.map_err(|error| error.raw_os_error().unwrap());
        assert_eq!(found, expected.map(|(addr, redirected)| (addr.to_owned(), redirected)));
    };
    let failed = |code| Err(io::Error::from_raw_os_error(code));
    let ours = "10.77.0.9:15001";
    check(ours, Ok("10.78.0.1:80"), Ok(("10.78.0.1:80", true)));
    check(ours, Ok("10.77.0.9:8080"), Ok(("10.77.0.9:8080", true)));
    check(ours, Ok("[::ffff:10.78.0.1]:80"), Ok(("10.78.0.1:80", true)));
    check(ours, Ok(ours), Ok((ours, false)));
    check(ours, failed(libc::ENOENT), Ok((ours, false)));
    check(ours, failed(libc::ENOPROTOOPT), Ok((ours, false)));
    check(ours, failed(libc::EOPNOTSUPP), Ok((ours, false)));
    check(ours, failed(libc::EBADF), Err(libc::EBADF));
    check("[fd77::9]:15001", Ok("[fd78::1]:80"), Ok(("[fd78::1]:80", true)));
    check("[fe80::9%3]:15001", Ok("[fe80::9]:15001"), Ok(("[fe80::9%3]:15001", false)));
}

#[tokio::test]
async fn a_plain_connection_goes_where_it_was_made_to() {
    let check = async |bind: IpAddr, dial: IpAddr| {
        let listener = TcpListener::bind((bind, 0)).await.unwrap();
        let addr = SocketAddr::new(dial, listener.local_addr().unwrap().port());
        let (_client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let found = original_dst(&accepted.unwrap().0).unwrap();
        assert_eq!(found, OriginalDst { addr, is_redirected: false });
    };
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    check(v4, v4).await;
    // A machine without IPv6 has nothing to show here.
    if TcpListener::bind((v6, 0)).await.is_ok() {
        check(v6, v6).await;
        check(IpAddr::V6(Ipv6Addr::UNSPECIFIED), v4).await;
    }
}
