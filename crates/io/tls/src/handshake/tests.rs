use tokio::io::AsyncReadExt;
use weft_model::backend::UpstreamProtocol;
use weft_model::listener::TlsOptions;

use super::*;
use crate::fixtures::{self, Authority, serve, upstream};

fn server() -> crate::ServerTls {
    let certificate = Authority::new("root").issue(&["a.example"]);
    fixtures::server(&certificate, &TlsOptions::modern())
}

#[tokio::test]
async fn a_hello_stays_in_the_inbox_for_passing_it_through() {
    let authority = Authority::new("root");
    let client = ClientTls::build(&upstream(&authority), Some(UpstreamProtocol::Http1)).unwrap();
    let (pool, theirs) = (BufferPool::default(), BufferPool::default());
    let (mut near, far) = tokio::io::duplex(100);
    let mut inbox = Inbox::new(&pool);
    let connecting = crate::connect(far, &client, "a.example", &theirs);
    let hello = tokio::select! {
        hello = read_hello(&mut near, &mut inbox) => hello.unwrap(),
        _ = connecting => panic!("nobody answers"),
    };
    assert_eq!(hello.server_name.as_deref(), Some("a.example"));
    assert_eq!(hello.alpn, [Box::from(&b"http/1.1"[..])]);
    assert_eq!(parse_client_hello(inbox.bytes()), Ok(Peek::Hello(hello)));
    drop(inbox);
    assert_eq!(pool.lent(), 0);
}

#[tokio::test]
async fn what_is_no_handshake_is_told_apart() {
    let tls = server();
    let pool = BufferPool::default();
    let check = async |bytes: &[u8]| {
        let (near, mut far) = tokio::io::duplex(4096);
        far.write_all(bytes).await.unwrap();
        drop(far);
        serve(near, &tls, &pool).await.unwrap_err()
    };
    assert!(matches!(check(b"GET / HTTP").await, HandshakeError::Hello(InvalidHello::NotTls)));
    assert!(matches!(check(b"\x16\x03\x01").await, HandshakeError::Closed));
    assert!(matches!(check(b"").await, HandshakeError::Closed));
    assert_eq!(pool.lent(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let authority = Authority::new("another root");
    let client = ClientTls::build(&upstream(&authority), None).unwrap();
    let (tls, pool, theirs) = (server(), BufferPool::default(), BufferPool::default());
    let (near, far) = tokio::io::duplex(1 << 16);
    let connecting = crate::connect(far, &client, "a.example", &theirs);
    let serving = async {
        let served = serve(near, &tls, &pool).await;
        served.unwrap_err()
    };
    let (error, _) = tokio::join!(serving, async {
        // The client distrusts the server, says so and goes.
        connecting.await.unwrap_err()
    });
    let wanted =
        "the TLS handshake failed: the peer does not trust the authority of our certificate";
    assert_eq!(error.to_string(), wanted);
    assert_eq!(pool.lent(), 0);
}

#[tokio::test]
async fn a_server_that_speaks_plain_text_is_told_apart() {
    let authority = Authority::new("root");
    let client = ClientTls::build(&upstream(&authority), None).unwrap();
    let pool = BufferPool::default();
    let (mut near, far) = tokio::io::duplex(4096);
    near.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let error = crate::connect(far, &client, "a.example", &pool).await.unwrap_err();
    let wanted = "the TLS handshake failed: the peer does not speak TLS here";
    assert_eq!(error.to_string(), wanted);
}

#[tokio::test]
async fn a_refusal_is_a_plain_alert_record() {
    for (why, alert) in [(NoHandshake::UnknownName, 112), (NoHandshake::NoCredentials, 80)] {
        let (mut near, mut far) = tokio::io::duplex(100);
        refuse(&mut near, why).await;
        let mut bytes = Vec::new();
        far.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, [21, 3, 3, 0, 2, 2, alert]);
    }
}
