use std::cell::RefCell;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::io::AsyncReadExt as _;
use weft_runtime::metrics::Registry;
use weft_runtime::task::Task;

use super::*;
use crate::names::Names;
use crate::testing::{
    block_on, db, entries, index, message, names, query, read, shown, with_edns, zone,
};

/// Long enough for a test that waits for something else.
const LONG: Duration = Duration::from_secs(30);
/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(30);

const LIMITS: Limits = Limits { idle: LONG, try_timeout: LONG, wanted: LONG, ..Limits::DEFAULT };

type Replies = Box<dyn Fn(&Message) -> Vec<Vec<u8>>>;

/// An upstream resolver that says what it is told to, over UDP and TCP.
struct Fake {
    addr: SocketAddr,
    asked: Rc<RefCell<Vec<(Transport, String)>>>,
}

/// A responder and its client.
struct Bench {
    server: Server,
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    names: watch::Sender<Arc<Names>>,
    wanted: mpsc::Receiver<ServiceName>,
    metrics: Arc<DnsMetrics>,
}

impl Fake {
    async fn start(replies: impl Fn(&Message) -> Vec<Vec<u8>> + 'static) -> Self {
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            // The port may be taken for datagrams.
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                break (listener, socket);
            }
        };
        let addr = listener.local_addr().unwrap();
        let asked = Rc::new(RefCell::new(Vec::new()));
        let replies: Rc<Replies> = Rc::new(Box::new(replies));
        task::spawn("fake udp", Self::udp(socket, Rc::clone(&replies), Rc::clone(&asked)));
        task::spawn("fake tcp", Self::tcp(listener, replies, Rc::clone(&asked)));
        Self { addr, asked }
    }

    async fn udp(
        socket: UdpSocket,
        replies: Rc<Replies>,
        asked: Rc<RefCell<Vec<(Transport, String)>>>,
    ) {
        let mut buffer = [0; 4096];
        loop {
            let (len, peer) = socket.recv_from(&mut buffer).await.unwrap();
            let query = read(&buffer[..len]);
            asked.borrow_mut().push((Transport::Udp, query.queries[0].name.to_ascii()));
            for reply in replies(&query) {
                socket.send_to(&reply, peer).await.unwrap();
            }
        }
    }

    async fn tcp(
        listener: TcpListener,
        replies: Rc<Replies>,
        asked: Rc<RefCell<Vec<(Transport, String)>>>,
    ) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let query = read(&read_message(&mut stream, 4096).await.unwrap());
            asked.borrow_mut().push((Transport::Tcp, query.queries[0].name.to_ascii()));
            for reply in replies(&query) {
                write_message(&mut stream, &reply).await.unwrap();
            }
        }
    }

    fn asked(&self) -> usize {
        self.asked.borrow().len()
    }
}

impl Bench {
    fn start(upstreams: &[&Fake], limits: Limits) -> Self {
        Self::with(upstreams.iter().map(|fake| fake.addr), limits, names())
    }

    fn with(upstreams: impl IntoIterator<Item = SocketAddr>, limits: Limits, names: Names) -> Self {
        let addrs = ["127.0.0.1:0", "[::1]:0"].map(|addr| addr.parse().unwrap());
        let sockets = Sockets::bind(&addrs).unwrap();
        let udp = sockets.udp.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let tcp = sockets.tcp.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let (sender, names) = watch::channel(Arc::new(names));
        let (wanted, wanting) = mpsc::channel(4);
        let metrics = Arc::new(DnsMetrics::default());
        let settings = Settings {
            names,
            upstreams: Upstreams::fixed(upstreams),
            wanted,
            limits,
            metrics: Arc::clone(&metrics),
        };
        let server = Server::start(sockets, settings).unwrap();
        Self { server, udp, tcp, names: sender, wanted: wanting, metrics }
    }

    async fn udp(&self, query: &[u8]) -> Vec<u8> {
        over_udp(self.udp[0], query).await
    }

    async fn shown(&self, host: &str) -> String {
        shown(&self.udp(&query(host, RecordType::A)).await)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.tcp[0]).await.unwrap()
    }

    fn metric(&self, series: &str) -> f64 {
        let registry = Registry::new();
        registry.register(Arc::clone(&self.metrics) as _);
        let text = registry.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series)).expect(&text);
        line.trim().parse().unwrap()
    }

    fn ended(&self, outcome: &str) -> f64 {
        self.metric(&format!("weftway_dns_queries_total{{outcome=\"{outcome}\"}}"))
    }
}

async fn over_udp(addr: SocketAddr, query: &[u8]) -> Vec<u8> {
    let any = if addr.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any).await.unwrap();
    socket.connect(addr).await.unwrap();
    socket.send(query).await.unwrap();
    let mut reply = vec![0; 65536];
    let len = time::timeout(LONG, socket.recv(&mut reply)).await.expect("a reply").unwrap();
    reply.truncate(len);
    reply
}

async fn over_tcp(stream: &mut TcpStream, query: &[u8]) -> Vec<u8> {
    write_message(stream, query).await.unwrap();
    time::timeout(LONG, read_message(stream, 65535)).await.expect("a reply").unwrap()
}

/// The reply with that address, the last part of which is `last`.
fn found(query: &Message, last: u8) -> Vec<Vec<u8>> {
    let mut reply = query.clone().into_response();
    let name = query.queries[0].name.clone();
    reply.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, last))));
    vec![reply.to_vec().unwrap()]
}

fn failed(query: &Message, code: ResponseCode) -> Vec<Vec<u8>> {
    let mut reply = query.clone().into_response();
    reply.metadata.response_code = code;
    vec![reply.to_vec().unwrap()]
}

#[test]
fn names_of_the_mesh_are_answered_over_both_transports_and_families() {
    block_on(async {
        let bench = Bench::start(&[], LIMITS);
        let asked = message(77, "payments", RecordType::A).to_vec().unwrap();
        for (udp, tcp) in bench.udp.iter().zip(&bench.tcp) {
            let mut stream = TcpStream::connect(tcp).await.unwrap();
            for reply in [
                over_udp(*udp, &asked).await,
                over_tcp(&mut stream, &asked).await,
                over_tcp(&mut stream, &asked).await,
            ] {
                assert_eq!(read(&reply).metadata.id, 77);
                assert_eq!(shown(&reply), "NoError 10.78.0.1");
            }
        }
        bench.shown("nobody.cluster.local").await;
        bench.shown("empty").await;
        assert_eq!((bench.ended("found"), bench.ended("no_name")), (6.0, 1.0));
        assert_eq!(bench.ended("no_data"), 1.0);
        assert_eq!(bench.metric("weftway_dns_query_duration_seconds_count{by=\"here\"}"), 8.0);
    });
}

#[test]
fn other_names_are_forwarded_over_the_transport_they_came_by() {
    block_on(async {
        let fake = Fake::start(|query| found(query, 1)).await;
        let bench = Bench::start(&[&fake], LIMITS);
        let asked = message(78, "Example.COM", RecordType::A).to_vec().unwrap();
        let mut stream = bench.connect().await;
        for reply in [bench.udp(&asked).await, over_tcp(&mut stream, &asked).await] {
            assert_eq!(read(&reply).metadata.id, 78, "the client's number");
            assert_eq!(shown(&reply), "NoError 192.0.2.1");
        }
        let host = "Example.COM.".to_owned();
        assert_eq!(*fake.asked.borrow(), [(Transport::Udp, host.clone()), (Transport::Tcp, host)]);
        assert_eq!(bench.ended("forwarded"), 2.0);
        assert_eq!(bench.metric("weftway_dns_query_duration_seconds_count{by=\"upstream\"}"), 2.0);
    });
}

#[test]
fn a_silent_resolver_is_followed_by_the_next_which_is_preferred_from_then_on() {
    block_on(async {
        let silent = Fake::start(|_| Vec::new()).await;
        let good = Fake::start(|query| found(query, 2)).await;
        let bench = Bench::start(
            &[&silent, &good],
            Limits { try_timeout: Duration::from_secs(1), ..LIMITS },
        );
        for _ in 0..3 {
            assert_eq!(bench.shown("example.com").await, "NoError 192.0.2.2");
        }
        assert_eq!((silent.asked(), good.asked()), (1, 3));
        assert_eq!(bench.metric("weftway_dns_upstream_failures_total{reason=\"timeout\"}"), 1.0);
    });
}

#[test]
fn a_resolver_that_fails_or_refuses_is_followed_by_the_next() {
    block_on(async {
        for code in [ResponseCode::ServFail, ResponseCode::Refused] {
            let bad = Fake::start(move |query| failed(query, code)).await;
            let good = Fake::start(|query| failed(query, ResponseCode::NXDomain)).await;
            let bench = Bench::start(&[&bad, &good], LIMITS);
            assert_eq!(bench.shown("example.com").await, "NXDomain");
            let alone = Bench::start(&[&bad], LIMITS);
            assert_eq!(alone.shown("example.com").await, format!("{code:?}"));
            assert_eq!(bad.asked(), 2, "once for each question");
            assert_eq!(
                alone.metric("weftway_dns_upstream_failures_total{reason=\"refused\"}"),
                1.0
            );
        }
    });
}

#[test]
fn what_is_no_reply_to_the_question_is_passed_over() {
    block_on(async {
        let fake = Fake::start(|query| {
            let mut other_number = found(query, 66).remove(0);
            other_number[1] ^= 1;
            let mut other_name = query.clone();
            other_name.queries[0].name = crate::testing::name("example.org");
            let mut long = found(query, 66).remove(0);
            long.resize(1000, 0);
            let good = found(query, 1).remove(0);
            vec![other_number, found(&other_name, 66).remove(0), long, b"?".to_vec(), good]
        })
        .await;
        let bench = Bench::start(&[&fake], LIMITS);
        assert_eq!(bench.shown("example.com").await, "NoError 192.0.2.1");
        assert_eq!(fake.asked(), 1);
    });
}

#[test]
fn without_any_reply_the_query_fails() {
    block_on(async {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let upstreams = [silent.local_addr().unwrap(), nowhere];
        let bench = Bench::with(upstreams, Limits { try_timeout: SHORT, ..LIMITS }, names());
        let asked = message(79, "example.com", RecordType::A).to_vec().unwrap();
        let reply = read(&bench.udp(&asked).await);
        assert_eq!((reply.metadata.id, reply.metadata.response_code), (79, ResponseCode::ServFail));
        for (reason, count) in [("timeout", 2.0), ("unreachable", 1.0)] {
            let series = format!("weftway_dns_upstream_failures_total{{reason=\"{reason}\"}}");
            assert_eq!(bench.metric(&series), count, "three tries in all, {reason}");
        }
        let nobody = Bench::start(&[], LIMITS);
        assert_eq!(nobody.shown("example.com").await, "ServFail");
        assert_eq!((bench.ended("failed"), nobody.ended("failed")), (1.0, 1.0));
    });
}

#[test]
fn what_does_not_fit_is_asked_for_again_over_tcp() {
    block_on(async {
        let fake = Fake::start(|query| {
            let mut reply = query.clone().into_response();
            reply.metadata.truncation = true;
            vec![reply.to_vec().unwrap()]
        })
        .await;
        let bench = Bench::start(&[&fake], LIMITS);
        let forwarded = bench.udp(&query("example.com", RecordType::A)).await;
        assert!(read(&forwarded).metadata.truncation, "as the resolver says");

        let addrs: Vec<String> = (0..100).map(|n| format!("10.7.0.{n}")).collect();
        let addrs: Vec<&str> = addrs.iter().map(String::as_str).collect();
        let entry = crate::testing::entry("many.shop.svc.cluster.local", &[], &addrs);
        bench.names.send_replace(Arc::new(Names::new(&zone(), index(&[entry]), [])));
        let asked = query("many", RecordType::A);
        let cut = read(&bench.udp(&asked).await);
        assert!(cut.metadata.truncation && !cut.answers.is_empty());
        let whole = read(&over_tcp(&mut bench.connect().await, &asked).await);
        assert_eq!((whole.answers.len(), whole.metadata.truncation), (100, false));
        let roomy = with_edns(message(1, "many", RecordType::A), 4096).to_vec().unwrap();
        assert_eq!(read(&bench.udp(&roomy).await).answers.len(), 100);
    });
}

#[test]
fn names_are_swapped() {
    block_on(async {
        let bench = Bench::start(&[], LIMITS);
        assert_eq!(bench.shown("payments").await, "NoError 10.78.0.1");
        bench.names.send_replace(Arc::new(Names::empty(&zone())));
        assert_eq!(bench.shown("payments.shop.svc.cluster.local").await, "NXDomain");
    });
}

/// A question that waits for the names of a service, which was asked for.
async fn waiting() -> (Bench, Task<String>) {
    let mut bench = Bench::with([], LIMITS, Names::new(&zone(), entries(), []));
    let (addr, asked) = (bench.udp[0], query("db-0.db", RecordType::A));
    let reply = task::spawn("client", async move { shown(&over_udp(addr, &asked).await) });
    assert_eq!(bench.wanted.recv().await.unwrap().as_str(), crate::testing::DB);
    (bench, reply)
}

#[test]
fn a_service_is_asked_for_and_its_names_waited_for() {
    block_on(async {
        let (bench, reply) = waiting().await;
        // Names that still do not know it change nothing.
        bench.names.send_replace(Arc::new(Names::new(&zone(), entries(), [])));
        tokio::task::yield_now().await;
        bench.names.send_replace(Arc::new(Names::new(&zone(), entries(), [db()])));
        assert_eq!(reply.await.unwrap(), "NoError 10.77.0.9");
    });
}

#[test]
fn a_service_that_does_not_come_in_time_fails_or_is_left_to_others() {
    block_on(async {
        let fake = Fake::start(|query| found(query, 1)).await;
        let limits = Limits { wanted: SHORT, ..LIMITS };
        let bench = Bench::with([fake.addr], limits, Names::new(&zone(), entries(), []));
        assert_eq!(bench.shown("db-0.db.shop.svc.cluster.local").await, "ServFail");
        assert_eq!(fake.asked(), 0);
        assert_eq!(bench.shown("db-0.db").await, "NoError 192.0.2.1");
    });
}

#[test]
fn queries_under_way_are_bounded() {
    block_on(async {
        let silent = Fake::start(|_| Vec::new()).await;
        let bench = Bench::start(&[&silent], Limits { queries: 1, ..LIMITS });
        let waiting = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        waiting.send_to(&query("example.com", RecordType::A), bench.udp[0]).await.unwrap();
        // Datagrams of one socket are taken in their order.
        assert_eq!(bench.shown("example.org").await, "ServFail");
        assert_eq!(bench.shown("payments").await, "NoError 10.78.0.1", "what is known is answered");
        assert_eq!(bench.metric("weftway_limit_reached_total{limit=\"dns_queries\"}"), 1.0);
    });
}

#[test]
fn connections_are_bounded_and_give_their_place_back() {
    block_on(async {
        let bench = Bench::start(&[], Limits { connections: 1, ..LIMITS });
        let asked = query("payments", RecordType::A);
        let mut first = bench.connect().await;
        over_tcp(&mut first, &asked).await;
        let mut second = bench.connect().await;
        assert_eq!(second.read(&mut [0]).await.unwrap(), 0, "it is closed");
        assert_eq!(bench.metric("weftway_limit_reached_total{limit=\"dns_connections\"}"), 1.0);
        drop(first);
        loop {
            let mut next = bench.connect().await;
            if write_message(&mut next, &asked).await.is_ok()
                && let Ok(reply) = read_message(&mut next, 4096).await
            {
                assert_eq!(shown(&reply), "NoError 10.78.0.1");
                break;
            }
        }
    });
}

#[test]
fn connections_that_stand_still_or_say_too_much_are_closed() {
    block_on(async {
        let bench = Bench::start(&[], Limits { idle: SHORT, ..LIMITS });
        let mut idle = bench.connect().await;
        assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
        let bench = Bench::start(&[], LIMITS);
        let mut long = bench.connect().await;
        write_message(&mut long, &[0; 4097]).await.unwrap();
        let ended = time::timeout(LONG, long.read(&mut [0])).await.expect("it is closed");
        assert!(matches!(ended, Ok(0) | Err(_)));
    });
}

#[test]
fn what_is_dropped_is_counted_and_the_rest_goes_on() {
    block_on(async {
        let bench = Bench::start(&[], LIMITS);
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"?", bench.udp[0]).await.unwrap();
        client.send_to(b"", bench.udp[0]).await.unwrap();
        assert_eq!(bench.shown("payments").await, "NoError 10.78.0.1");
        let mut malformed = query("payments", RecordType::A);
        malformed.pop();
        assert_eq!(shown(&bench.udp(&malformed).await), "FormErr");
        assert_eq!((bench.ended("dropped"), bench.ended("refused")), (2.0, 1.0));
    });
}

#[test]
fn dropping_the_server_ends_it_with_all_that_is_open() {
    block_on(async {
        let bench = Bench::start(&[], LIMITS);
        let mut stream = bench.connect().await;
        over_tcp(&mut stream, &query("payments", RecordType::A)).await;
        let Bench { server, udp, .. } = bench;
        drop(server);
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it is closed");
        // The address is free as soon as the tasks have seen it.
        while std::net::UdpSocket::bind(udp[0]).is_err() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_closed_server_takes_no_more_questions_and_answers_those_that_it_has() {
    block_on(async {
        let (mut bench, reply) = waiting().await;
        bench.server.close();
        tokio::task::yield_now().await;
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(&query("payments", RecordType::A), bench.udp[0]).await.unwrap();
        let more = time::timeout(SHORT, client.recv(&mut [0; 512])).await;
        assert!(more.is_err(), "it is another's to answer: {more:?}");
        bench.names.send_replace(Arc::new(Names::new(&zone(), entries(), [db()])));
        assert_eq!(reply.await.unwrap(), "NoError 10.77.0.9");
    });
}

#[test]
fn an_address_in_use_is_told() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let error = Sockets::bind(&[addr]).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot answer DNS on {addr}"));
    assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
}
