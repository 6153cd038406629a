use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use weft_runtime::task;

use super::*;
use crate::testing::local;

#[test]
fn loopback_is_reachable_and_an_only_choice_is_kept() {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    assert!(has_route(loopback));
    // 240.0.0.0/4 is reserved: no route leads there, or none that matters.
    let nowhere: IpAddr = [240, 0, 0, 1].into();
    assert_eq!(reachable(vec![nowhere]), [nowhere]);
    assert!(reachable(vec![nowhere, loopback]).contains(&loopback));
}

/// Answers A questions with 127.0.0.7 and a TTL of 42 s, AAAA questions with nothing, and names
/// that begin with `no` with NXDOMAIN.
async fn serve_dns(socket: tokio::net::UdpSocket) {
    let mut packet = [0; 512];
    while let Ok((len, peer)) = socket.recv_from(&mut packet).await {
        let query = &packet[..len];
        let name_len = query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let question = &query[12..12 + name_len + 4];
        let is_a = question[name_len..name_len + 2] == [0, 1];
        let is_denied = question[1..].starts_with(b"no");
        let answers = u8::from(is_a && !is_denied);
        let code = if is_denied { 3 } else { 0 };
        let mut answer = vec![query[0], query[1], 0x81, 0x80 | code];
        answer.extend_from_slice(&[0, 1, 0, answers, 0, 0, 0, 0]);
        answer.extend_from_slice(question);
        if answers > 0 {
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 42, 0, 4, 127, 0, 0, 7]);
        }
        socket.send_to(&answer, peer).await.unwrap();
    }
}

#[test]
fn a_server_is_asked_on_a_local_runtime() {
    local(async {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut server = NameServerConfig::udp([127, 0, 0, 1].into());
        server.connections[0].port = socket.local_addr().unwrap().port();
        task::spawn("dns", serve_dns(socket));
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let system = SystemLookup(RefCell::new(Some(build(builder).unwrap())));
        let answer = system.lookup("shop.example.").await.unwrap();
        assert_eq!(answer.addrs, [IpAddr::from([127, 0, 0, 7])]);
        assert!(answer.ttl > Duration::from_secs(35) && answer.ttl <= Duration::from_secs(42));
        assert!(matches!(system.lookup("no.example.").await, Err(LookupError::Failed(_))));
        assert!(system.0.borrow().is_none(), "the configuration is read again after a failure");
    });
}
