use super::*;
use crate::testing::block_on;

fn forwarder(servers: &[&str], own: &[&str]) -> Forwarder {
    let addrs = |texts: &[&str]| -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let upstreams = Upstreams::fixed(addrs(servers));
    Forwarder::new(upstreams, addrs(own), Limits::DEFAULT, Arc::default())
}

#[test]
fn the_last_to_answer_is_asked_first_and_we_ourselves_never() {
    let forwarder = forwarder(&["10.0.0.1:53", "10.0.0.2:53", "127.0.0.1:53"], &["127.0.0.1:53"]);
    let order = || forwarder.servers().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(order(), ["10.0.0.1:53", "10.0.0.2:53"]);
    forwarder.preferred.set("10.0.0.2:53".parse().ok());
    assert_eq!(order(), ["10.0.0.2:53", "10.0.0.1:53"]);
    forwarder.preferred.set("10.0.0.9:53".parse().ok());
    assert_eq!(order(), ["10.0.0.1:53", "10.0.0.2:53"], "one that is not there any more");
}

#[test]
fn messages_have_their_length_before_them() {
    block_on(async {
        let mut bytes = Vec::new();
        write_message(&mut bytes, b"abc").await.unwrap();
        write_message(&mut bytes, b"").await.unwrap();
        assert_eq!(bytes, b"\x00\x03abc\x00\x00");
        let mut stream = &bytes[..];
        assert_eq!(read_message(&mut stream, 3).await.unwrap(), b"abc");
        assert_eq!(read_message(&mut stream, 3).await.unwrap(), b"");
        assert!(read_message(&mut stream, 3).await.is_err(), "the stream has ended");
        assert!(read_message(&mut &bytes[..], 2).await.is_err(), "it is too long");
        assert!(write_message(&mut bytes, &[0; 65536]).await.is_err());
    });
}
