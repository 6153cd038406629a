use std::net::Ipv4Addr;
use std::os::unix::net::UnixListener;

use tokio::net::TcpStream;

use super::*;
use crate::listen::{self, ListenOptions, Listening};

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn listener() -> TcpListener {
    listen::bind((Ipv4Addr::LOCALHOST, 0).into(), &ListenOptions::DEFAULT).unwrap()
}

async fn pass(sockets: &[(&str, BorrowedFd<'_>)]) -> Vec<Passed> {
    let (mut near, mut far) = pair();
    let (sent, received) = tokio::join!(send(&mut near, sockets), receive(&mut far));
    sent.unwrap();
    received.unwrap()
}

/// What the receiver makes of these bytes.
async fn receive_bytes(bytes: &[u8]) -> PassError {
    let (mut near, mut far) = pair();
    near.write_all(bytes).await.unwrap();
    drop(near);
    receive(&mut far).await.unwrap_err()
}

#[tokio::test]
async fn a_passed_socket_goes_on_accepting() {
    let socket = listener();
    let addr = socket.local_addr().unwrap();
    // It waits to be accepted while the socket changes hands.
    let waiting = TcpStream::connect(addr).await.unwrap();
    let mut received = pass(&[("inbound/0", socket.as_fd())]).await;
    drop(socket);
    let passed = received.pop().unwrap();
    assert!(received.is_empty());
    assert_eq!(passed.name, "inbound/0");
    let socket = passed.into_tcp_listener().unwrap();
    assert!(rustix::io::fcntl_getfd(&socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let listening = Listening::from_std(socket, &ListenOptions::DEFAULT.connection).unwrap();
    assert_eq!(listening.local_addr(), addr);
    let accepted = listening.accept().await.unwrap();
    assert_eq!(accepted.peer, waiting.local_addr().unwrap());
}

#[tokio::test]
async fn any_number_is_passed_in_order() {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for count in [0, 1, BATCH_MAX, BATCH_MAX + 1, 2 * BATCH_MAX + 3] {
        let names: Vec<String> = (0..count).map(|number| format!("socket {number}")).collect();
        let sockets: Vec<_> = names.iter().map(|name| (&**name, udp.as_fd())).collect();
        let received = pass(&sockets).await;
        assert!(received.iter().map(|passed| &passed.name).eq(&names), "{count}");
        for passed in received {
            assert_eq!(
                passed.into_udp_socket().unwrap().local_addr().unwrap(),
                udp.local_addr().unwrap()
            );
        }
    }
}

#[tokio::test]
async fn what_follows_stays_in_the_stream() {
    let socket = listener();
    let (mut near, mut far) = pair();
    send(&mut near, &[("a", socket.as_fd())]).await.unwrap();
    near.write_all(b"go").await.unwrap();
    send(&mut near, &[("b", socket.as_fd())]).await.unwrap();
    assert_eq!(receive(&mut far).await.unwrap()[0].name, "a");
    let mut bytes = [0; 2];
    far.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"go");
    assert_eq!(receive(&mut far).await.unwrap()[0].name, "b");
}

#[tokio::test]
async fn a_socket_is_not_taken_for_another_kind() {
    let (tcp, udp) = (listener(), UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let client = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(dir.path().join("socket")).unwrap();
    let sockets = [
        ("tcp", tcp.as_fd()),
        ("udp", udp.as_fd()),
        ("client", client.as_fd()),
        ("unix", unix.as_fd()),
    ];
    for passed in pass(&sockets).await {
        let name = passed.name.clone();
        let is_right = name == "tcp";
        assert_eq!(passed.into_tcp_listener().is_ok(), is_right, "{name}");
    }
    for passed in pass(&sockets).await {
        let name = passed.name.clone();
        let result = passed.into_udp_socket();
        if name == "udp" {
            result.unwrap();
        } else {
            let error = result.unwrap_err().to_string();
            assert_eq!(error, format!("socket `{name}` is not a UDP socket"));
        }
    }
}

#[tokio::test]
async fn what_does_not_follow_the_protocol_is_refused() {
    let frame = |count: u16, names: &[u8]| {
        let mut bytes = Header { is_last: true, count: 0, names_bytes: names.len() }.to_bytes();
        bytes[6..8].copy_from_slice(&count.to_be_bytes());
        [&bytes[..], names].concat()
    };
    let malformed = async |bytes: &[u8]| match receive_bytes(bytes).await {
        PassError::Malformed(reason) => reason,
        other => panic!("{other}"),
    };
    assert_eq!(malformed(b"GET / HTTP/1.1\r\n").await, "it does not begin with WFPS");
    assert_eq!(malformed(&frame(0, b"\0\x01a")).await, "a frame is too large");
    assert_eq!(malformed(&frame(129, b"")).await, "a frame is too large");
    let announced = "the number of sockets is not the one announced";
    assert_eq!(malformed(&frame(1, b"\0\x01a")).await, announced);
    let mut newer = frame(0, b"");
    newer[4] = 2;
    assert!(matches!(receive_bytes(&newer).await, PassError::Version(2)));
    for cut in [b"".as_slice(), b"WFPS", &frame(0, b"")[..11]] {
        assert!(matches!(receive_bytes(cut).await, PassError::Io(_)));
    }
}

#[test]
fn names_are_read_to_their_end() {
    let check = |mut bytes: &[u8]| take_name(&mut bytes).map_err(|error| error.to_string());
    assert_eq!(check(b"\0\x02ab"), Ok("ab".into()));
    assert_eq!(check(b"\0\0"), Ok(String::new()));
    for bad in [b"".as_slice(), b"\0", b"\0\x02a", b"\0\x01\xff"] {
        assert!(check(bad).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_sent() {
    let (mut near, mut far) = pair();
    let (socket, name) = (listener(), "n".repeat(NAME_BYTES_MAX + 1));
    let sent = send(&mut near, &[(&name, socket.as_fd())]).await;
    assert!(matches!(sent, Err(PassError::TooLarge)));
    drop(near);
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
}
