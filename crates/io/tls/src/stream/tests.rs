use std::future::poll_fn;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use weft_model::backend::UpstreamProtocol;
use weft_model::listener::{TlsOptions, TlsVersion};
use weft_net::BufferPool;

use super::*;
use crate::fixtures::{self, Authority, pair, serve, upstream};
use crate::{ClientTls, ServerTls};

fn options(version: TlsVersion) -> TlsOptions {
    TlsOptions { min_version: version, max_version: version, ..TlsOptions::modern() }
}

struct Sides {
    server: ServerTls,
    client: ClientTls,
}

fn sides(version: TlsVersion) -> Sides {
    let authority = Authority::new("root");
    let certificate = authority.issue(&["shop.example"]);
    Sides {
        server: fixtures::server(&certificate, &options(version)),
        client: ClientTls::build(&upstream(&authority), Some(UpstreamProtocol::Auto)).unwrap(),
    }
}

impl Sides {
    async fn pair(&self, buffered: usize) -> (TlsStream<DuplexStream>, TlsStream<DuplexStream>) {
        let (server, client) = pair(&self.server, &self.client, "shop.example", buffered).await;
        (server.unwrap(), client.unwrap())
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// Sends both ways at once, half-closes, and checks that everything arrives and nothing is owned.
async fn exchange<A: AsyncRead + AsyncWrite + Unpin, B: AsyncRead + AsyncWrite + Unpin>(
    one: &mut A,
    other: &mut B,
    len: usize,
) {
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, len: usize) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let sent = bytes(len);
        let mut received = Vec::new();
        let (written, read) = tokio::join!(
            async {
                writer.write_all(&sent).await?;
                writer.shutdown().await
            },
            reader.read_to_end(&mut received)
        );
        written.unwrap();
        read.unwrap();
        assert!(received == sent, "{} of {len} bytes arrived", received.len());
    }
    tokio::join!(talk(one, len), talk(other, len));
}

#[tokio::test]
async fn both_versions_through_pipes_of_any_size() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let sides = sides(version);
        for (buffered, len) in [(7, 1000), (100, 100_000), (20_000, 300_000), (1 << 20, 300_000)] {
            let (mut server, mut client) = sides.pair(buffered).await;
            exchange(&mut server, &mut client, len).await;
            assert_eq!(
                (server.inbox.pool().lent(), client.inbox.pool().lent()),
                (0, 0),
                "{version:?}"
            );
        }
    }
}

#[tokio::test]
async fn facts_tell_what_was_agreed() {
    for (version, name) in [(TlsVersion::Tls12, "TLSv1.2"), (TlsVersion::Tls13, "TLSv1.3")] {
        let (server, client) = sides(version).pair(4096).await;
        for facts in [server.facts(), client.facts()] {
            assert_eq!(facts.server_name, Some("shop.example"));
            assert_eq!(facts.alpn, Some(&b"h2"[..]));
            assert_eq!(facts.version, name);
            assert!(facts.cipher_suite.starts_with("TLS_") && !facts.resumed, "{facts:?}");
        }
        assert!(client.facts().verified && client.facts().certificates.len() == 1);
        assert!(!server.facts().verified && server.facts().certificates.is_empty());
    }
}

#[tokio::test]
async fn sessions_resume_over_tickets_with_both_versions() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let sides = sides(version);
        for resumed in [false, true, true] {
            let (mut server, mut client) = sides.pair(100_000).await;
            assert_eq!(server.facts().resumed, resumed, "{version:?}");
            assert_eq!(client.facts().resumed, resumed, "{version:?}");
            exchange(&mut server, &mut client, 10).await;
        }
    }
}

#[tokio::test]
async fn small_slices_become_one_record_and_one_write() {
    let sides = sides(TlsVersion::Tls13);
    let (mut server, mut client) = sides.pair(1 << 20).await;
    server.flush().await.unwrap();
    let mut target = [0; 100];
    // Takes the session ticket out of the way.
    poll_fn(|cx| {
        let mut target = ReadBuf::new(&mut target);
        assert!(Pin::new(&mut client).poll_read(cx, &mut target).is_pending());
        Poll::Ready(())
    })
    .await;
    let slices =
        [&b"HTTP/1.1 200 OK\r\n"[..], b"", b"a: b\r\n", b"\r\n", b"body"].map(IoSlice::new);
    let count = poll_fn(|cx| Pin::new(&mut server).poll_write_vectored(cx, &slices)).await.unwrap();
    assert_eq!(count, 29);
    let record = poll_fn(|cx| {
        let mut wire = [0; 200];
        let mut wire = ReadBuf::new(&mut wire);
        ready!(Pin::new(&mut client.io).poll_read(cx, &mut wire))?;
        Poll::Ready(io::Result::Ok(wire.filled().to_vec()))
    })
    .await
    .unwrap();
    assert_eq!(record.len(), 5 + 29 + 1 + 16, "one record of all five slices");
}

#[tokio::test]
async fn a_large_write_fills_records_and_needs_few_writes() {
    let sides = sides(TlsVersion::Tls13);
    let (mut server, mut client) = sides.pair(1 << 20).await;
    let (head, body) = (bytes(300), bytes(100_000));
    let mut sent = 0;
    let mut writes = 0;
    while sent < 100_300 {
        let slices = match sent {
            0 => vec![IoSlice::new(&head), IoSlice::new(&body)],
            sent => vec![IoSlice::new(&body[sent - 300..])],
        };
        sent += poll_fn(|cx| Pin::new(&mut server).poll_write_vectored(cx, &slices)).await.unwrap();
        writes += 1;
    }
    assert_eq!(writes, 2);
    drop(server);
    let mut received = Vec::new();
    let error = client.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "no close_notify was sent");
    assert!(received == [head, body].concat());
}

#[tokio::test]
async fn a_peer_may_update_its_keys_and_ask_us_to() {
    let sides = sides(TlsVersion::Tls13);
    let pool = BufferPool::default();
    let (near, far) = tokio::io::duplex(1 << 20);
    let connector = tokio_rustls::TlsConnector::from(sides.client.config().clone());
    let name = ServerName::try_from("shop.example").unwrap();
    let (server, client) =
        tokio::join!(serve(near, &sides.server, &pool), connector.connect(name, far));
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    for round in 0..20 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        client.write_all(b"ping").await.unwrap();
        client.flush().await.unwrap();
        let mut target = [0; 4];
        server.read_exact(&mut target).await.unwrap();
        server.write_all(b"pong").await.unwrap();
        server.flush().await.unwrap();
        client.read_exact(&mut target).await.unwrap();
        assert_eq!(&target, b"pong", "round {round}");
    }
    assert_eq!(pool.lent(), 0);
}

#[tokio::test]
async fn speaks_with_another_implementation_of_the_stream() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let sides = sides(version);
        let pool = BufferPool::default();
        let name = ServerName::try_from("shop.example").unwrap();
        let (near, far) = tokio::io::duplex(3000);
        let connector = tokio_rustls::TlsConnector::from(sides.client.config().clone());
        let (server, client) =
            tokio::join!(serve(near, &sides.server, &pool), connector.connect(name, far));
        exchange(&mut server.unwrap(), &mut client.unwrap(), 200_000).await;

        let (near, far) = tokio::io::duplex(3000);
        let config = sides.server.select(None).unwrap().config().clone();
        let acceptor = tokio_rustls::TlsAcceptor::from(config);
        let (server, client) = tokio::join!(
            acceptor.accept(near),
            crate::connect(far, &sides.client, "shop.example", &pool)
        );
        exchange(&mut server.unwrap(), &mut client.unwrap(), 200_000).await;
    }
}

#[tokio::test]
async fn a_changed_byte_ends_the_connection_with_an_alert() {
    let sides = sides(TlsVersion::Tls13);
    let (mut server, mut client) = sides.pair(1 << 20).await;
    server.write_all(b"first").await.unwrap();
    server.flush().await.unwrap();
    // A record of the right form that nobody sealed.
    let mut forged = vec![23, 3, 3, 0, 40];
    forged.extend([7; 40]);
    server.io.write_all(&forged).await.unwrap();
    let mut target = [0; 100];
    assert_eq!(client.read(&mut target).await.unwrap(), 5, "what came before still counts");
    for _ in 0..2 {
        let error = client.read(&mut target).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    assert_eq!(client.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    client.shutdown().await.unwrap();
    let error = server.read(&mut target).await.unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
}

#[tokio::test]
async fn a_short_read_keeps_the_rest_and_says_so() {
    let sides = sides(TlsVersion::Tls13);
    let (mut server, mut client) = sides.pair(1 << 20).await;
    let sent = bytes(30_000);
    server.write_all(&sent).await.unwrap();
    server.shutdown().await.unwrap();
    let mut received = Vec::new();
    loop {
        poll_fn(|cx| client.poll_read_ready(cx)).await.unwrap();
        let mut target = [0; 777];
        match client.read(&mut target).await.unwrap() {
            0 => break,
            count => received.extend_from_slice(&target[..count]),
        }
    }
    assert!(received == sent);
    // The other direction still works after the peer's close_notify.
    client.write_all(b"late").await.unwrap();
    client.shutdown().await.unwrap();
    let mut late = String::new();
    server.read_to_string(&mut late).await.unwrap();
    assert_eq!(late, "late");
}

#[tokio::test]
async fn writing_goes_on_while_unread_records_wait() {
    // Both sides write before they read: the session has to put aside what it decrypts while it
    // seals.
    let sides = sides(TlsVersion::Tls13);
    let (mut server, mut client) = sides.pair(1 << 20).await;
    for _ in 0..3 {
        server.write_all(&bytes(20_000)).await.unwrap();
        client.write_all(&bytes(20_000)).await.unwrap();
        let mut some = [0; 10];
        client.read_exact(&mut some).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let mut target = vec![0; 19_990];
        client.read_exact(&mut target).await.unwrap();
        assert!([&some[..], &target].concat() == bytes(20_000));
        let mut target = vec![0; 20_001];
        server.read_exact(&mut target).await.unwrap();
    }
    assert_eq!((server.inbox.pool().lent(), client.inbox.pool().lent()), (0, 0));
}

#[tokio::test]
async fn a_long_certificate_chain_fits_through() {
    let authority = Authority::new("root");
    let leaf = authority.issue(&["shop.example"]);
    let mut long = (*leaf).clone();
    let mut chain = long.chain_pem.to_vec();
    // Superfluous certificates are allowed, and some servers have many.
    for _ in 0..60 {
        chain.extend_from_slice(&authority.pem);
    }
    long.chain_pem = chain.into();
    let server = fixtures::server(&Arc::new(long), &TlsOptions::modern());
    let client = ClientTls::build(&upstream(&authority), None).unwrap();
    let (server, client) = pair(&server, &client, "shop.example", 1000).await;
    exchange(&mut server.unwrap(), &mut client.unwrap(), 1000).await;
}

/// The state that stays with every connection; the session's own is boxed.
#[test]
fn the_stream_is_small() {
    assert!(size_of::<TlsStream<tokio::net::TcpStream>>() <= 320);
}
