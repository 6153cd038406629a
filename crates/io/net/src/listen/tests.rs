use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn listening(addr: SocketAddr, options: &ListenOptions) -> Result<Listening, BindError> {
    let socket = bind(addr, options)?;
    Ok(Listening::from_std(socket, &options.connection).expect("the socket listens"))
}

#[tokio::test]
async fn accepted_connections_have_the_options_of_their_listener() {
    let mut options = ListenOptions::DEFAULT;
    options.connection.user_timeout = Some(Duration::from_secs(7));
    let listener = listening(loopback(), &options).unwrap();
    let mut client = TcpStream::connect(listener.local_addr()).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    assert_eq!(accepted.peer, client.local_addr().unwrap());
    assert_eq!(accepted.local, client.peer_addr().unwrap());
    assert!(accepted.stream.nodelay().unwrap());
    let socket = SockRef::from(&accepted.stream);
    assert!(socket.keepalive().unwrap());
    #[cfg(target_os = "linux")]
    {
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(15));
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
    }
    client.write_all(b"x").await.unwrap();
    let mut stream = accepted.stream;
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_peer_is_probed_as_it_is_wanted_within_what_the_system_takes() {
    let listener = listening(loopback(), &ListenOptions::DEFAULT).unwrap();
    let stream = TcpStream::connect(listener.local_addr()).await.unwrap();
    let secs = Duration::from_secs;
    for (idle, interval, probes, expected) in [
        (secs(40), secs(7), Some(3), (secs(40), secs(7), 3)),
        (Duration::ZERO, Duration::MAX, Some(1_000), (secs(1), secs(32_767), 127)),
    ] {
        let keepalive = Some(KeepAlive { idle, interval, probes });
        tune(&stream, &ConnectionOptions { keepalive, ..ConnectionOptions::DEFAULT }).unwrap();
        let socket = SockRef::from(&stream);
        let found = (
            socket.tcp_keepalive_time().unwrap(),
            socket.tcp_keepalive_interval().unwrap(),
            socket.tcp_keepalive_retries().unwrap(),
        );
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_second_worker_shares_the_port_and_a_stranger_does_not() {
    let first = listening(loopback(), &ListenOptions::DEFAULT).unwrap();
    let addr = first.local_addr();
    listening(addr, &ListenOptions::DEFAULT).unwrap();
    let alone = ListenOptions { reuse_port: false, ..ListenOptions::DEFAULT };
    let error = listening(addr, &alone).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {addr}: the address is in use by another process")
    );
}

#[tokio::test]
async fn an_inherited_socket_serves_what_was_queued() {
    let bound = bind(loopback(), &ListenOptions::DEFAULT).unwrap();
    let addr = bound.local_addr().unwrap();
    let client = TcpStream::connect(addr).await.unwrap();
    let listener = Listening::from_std(bound, &ConnectionOptions::DEFAULT).unwrap();
    assert_eq!(listener.local_addr(), addr);
    assert_eq!(listener.accept().await.unwrap().peer, client.local_addr().unwrap());
}

#[tokio::test]
async fn ipv4_peers_of_a_dual_stack_socket_are_shown_as_ipv4() {
    let any = SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), 0);
    // A machine without IPv6 cannot show anything here.
    let Ok(listener) = listening(any, &ListenOptions::DEFAULT) else { return };
    let port = listener.local_addr().port();
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    assert_eq!(accepted.peer, client.local_addr().unwrap());
    assert_eq!(accepted.local, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
}

#[test]
fn errors_say_whether_to_go_on() {
    let kind = |code| AcceptError::from_io(io::Error::from_raw_os_error(code));
    assert!(matches!(kind(libc::EMFILE), AcceptError::Exhausted(_)));
    assert!(matches!(kind(libc::ENOMEM), AcceptError::Exhausted(_)));
    assert!(matches!(kind(libc::ECONNABORTED), AcceptError::Transient(_)));
    assert!(matches!(kind(libc::EPERM), AcceptError::Transient(_)));
    assert!(matches!(kind(libc::EBADF), AcceptError::Fatal(_)));
}
