//! A proxy beside applications, as other proxies see it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use weft_http::buffers::Buffers;
use weft_http::h2::{Accepted, Server, ServerSettings, Stream, Tunnel};
use weft_http::io::Io;
use weft_message::{Fields, HeadLimits, Method, PathRules, RequestHead, ResponseHead, Scheme};
use weft_model::identity::Identity;
use weft_model::mesh::Peer;
use weft_net::{BufferPool, Inbox};
use weft_runtime::task;
use weft_testkit::{MeshAuthority, Svid};
use weft_tls::MeshTls;
use weft_tls::mesh::{self, Alpn, Credentials};

/// Who the peer is.
pub(crate) const PAYMENTS: &str = "spiffe://cluster.local/ns/shop/sa/payments";

/// Who calls.
pub(crate) const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";

/// Requests to this path are not answered before [`FakePeer::release`].
pub(crate) const HELD: &str = "/held";

/// A running proxy.
pub(crate) struct FakePeer {
    pub(crate) addr: SocketAddr,
    state: Rc<State>,
}

/// What a peer is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    /// Streams at one time.
    pub(crate) streams_max: u32,
    /// It knows no requests, only tunnels.
    pub(crate) only_tunnels: bool,
    /// What CONNECT is answered with.
    pub(crate) tunnel_status: u16,
    /// So many of the first connections are ended in order before anything is taken on them.
    pub(crate) goodbyes: usize,
}

struct State {
    tls: RefCell<Arc<MeshTls>>,
    manners: Manners,
    connections: RefCell<Vec<Connection>>,
    requests: RefCell<Vec<String>>,
    held: watch::Sender<bool>,
    orders: watch::Sender<Order>,
}

/// What a peer saw of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) alpn: Alpn,
    /// The caller's leaf.
    pub(crate) leaf: Vec<u8>,
    is_open: Rc<Cell<bool>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    Serve,
    Drain,
    Die,
}

/// A stream without readiness: it says "likely" always.
struct Unready<S>(S);

// === impl Manners ===

impl Default for Manners {
    fn default() -> Self {
        Self { streams_max: 100, only_tunnels: false, tunnel_status: 200, goodbyes: 0 }
    }
}

// === impl FakePeer ===

impl FakePeer {
    pub(crate) async fn start(tls: MeshTls, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let state = Rc::new(State {
            tls: RefCell::new(Arc::new(tls)),
            manners,
            connections: RefCell::default(),
            requests: RefCell::default(),
            held: watch::Sender::new(true),
            orders: watch::Sender::new(Order::Serve),
        });
        let accepting = state.clone();
        task::spawn("peer", async move {
            loop {
                let (tcp, _) = listener.accept().await.expect("it accepts");
                let state = accepting.clone();
                task::spawn("peer", async move { state.serve(tcp).await });
            }
        });
        Self { addr, state }
    }

    pub(crate) fn peer(&self) -> Arc<Peer> {
        Arc::new(Peer { addr: self.addr, identity: identity(PAYMENTS) })
    }

    /// The connections that were accepted so far.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.state.connections.borrow().clone()
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.connections().iter().filter(|connection| connection.is_open.get()).count()
    }

    /// What was asked: for tunnels `CONNECT <authority>`, else `<destination> <path>`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.requests.borrow().clone()
    }

    /// Answers what was held.
    pub(crate) fn release(&self) {
        self.state.held.send_replace(false);
    }

    /// Ends present connections in order: GOAWAY.
    pub(crate) fn drain(&self) {
        self.order(Order::Drain);
    }

    /// Breaks present connections off.
    pub(crate) fn die(&self) {
        self.order(Order::Die);
    }

    fn order(&self, order: Order) {
        self.state.orders.send_replace(order);
    }
}

// === impl State ===

impl State {
    async fn serve(self: Rc<Self>, tcp: TcpStream) {
        let Some((io, alpn, leaf)) = self.shake(tcp).await else { return };
        let is_open = Rc::new(Cell::new(true));
        let seen = Connection { alpn, leaf, is_open: is_open.clone() };
        self.connections.borrow_mut().push(seen);
        let is_unwelcome = self.connections.borrow().len() <= self.manners.goodbyes;
        // Orders are for those who are there when they are given.
        self.orders.send_if_modified(|order| {
            *order = Order::Serve;
            false
        });
        let settings = ServerSettings {
            streams_max: self.manners.streams_max,
            head_bytes_max: 1 << 16,
            connection_window_bytes: 1 << 20,
            stream_window_bytes: 1 << 16,
            resets_max: 100,
            control_frames_max: 1_000,
        };
        let buffers = Buffers::new(weft_net::BufferPool::default());
        if let Ok(mut server) = Server::handshake(io, &settings, &buffers).await {
            if is_unwelcome {
                server.drain();
            }
            self.accept(&mut server).await;
        }
        is_open.set(false);
    }

    async fn shake(&self, tcp: TcpStream) -> Option<(Io, Alpn, Vec<u8>)> {
        let tls = self.tls.borrow().clone();
        if self.manners.only_tunnels {
            let mut config = tls.server_config();
            config.alpn_protocols = vec![b"h2".to_vec()];
            let stream = TlsAcceptor::from(Arc::new(config)).accept(tcp).await.ok()?;
            let leaf = leaf(stream.get_ref().1.peer_certificates()?);
            return Some((Io::Other(Box::new(Unready(stream))), Alpn::H2, leaf));
        }
        let inbox = Inbox::new(&BufferPool::default());
        let made = mesh::accept(tcp, inbox, &tls).await.ok()?;
        let leaf = leaf(made.stream.facts().certificates);
        Some((Io::Other(Box::new(made.stream)), made.alpn, leaf))
    }

    async fn accept(self: &Rc<Self>, server: &mut Server) {
        let mut orders = self.orders.subscribe();
        loop {
            tokio::select! {
                accepted = poll_fn(|cx| server.poll_accept(cx)) => match accepted {
                    Ok(accepted) => self.take(accepted),
                    Err(_) => return,
                },
                Ok(()) = orders.changed() => match *orders.borrow() {
                    Order::Serve => {}
                    Order::Drain => server.drain(),
                    Order::Die => return,
                },
            }
        }
    }

    fn take(self: &Rc<Self>, accepted: Accepted) {
        let mut head = RequestHead::new();
        let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
        let (stream, read) = accepted.into_request(Scheme::Http, &limits, &rules, &mut head);
        read.expect("callers send what is right");
        let state = self.clone();
        task::spawn("peer", async move {
            if *head.method() == Method::Connect {
                state.lead(&head, stream).await;
            } else {
                state.answer(&mut head, stream).await;
            }
        });
    }

    /// Leads a tunnel on to where it is to go.
    async fn lead(&self, head: &RequestHead, mut stream: Box<Stream>) {
        self.requests.borrow_mut().push(format!("CONNECT {}", head.authority()));
        if self.manners.tunnel_status != 200 {
            let _ = stream.begin_response(&status(self.manners.tunnel_status), true);
            return;
        }
        let mut application = TcpStream::connect(head.authority()).await.expect("it is up");
        let mut tunnel = Tunnel::accept(stream, Fields::new()).expect("it is not answered yet");
        let _ = tokio::io::copy_bidirectional(&mut tunnel, &mut application).await;
    }

    async fn answer(&self, head: &mut RequestHead, mut stream: Box<Stream>) {
        let destination = weft_message::peer::take_destination(&mut head.fields);
        let destination = destination.expect("it is valid").expect("it is there");
        self.requests.borrow_mut().push(format!("{destination} {}", head.path()));
        if head.path() == HELD {
            let mut held = self.held.subscribe();
            let _ = held.wait_for(|held| !held).await;
        }
        let _ = stream.begin_response(&status(200), true);
    }
}

// === impl Unready ===

impl<S: AsyncRead + AsyncWrite + Unpin> weft_net::Stream for Unready<S> {
    fn poll_read_ready(&mut self, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unready<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unready<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

// === functions ===

pub(crate) fn identity(id: &str) -> Identity {
    id.parse().expect("it is valid")
}

/// What a workload of that identity has.
pub(crate) fn mesh_tls(authority: &MeshAuthority, id: &str) -> MeshTls {
    with_svid(&authority.svid(id), id, authority)
}

/// Who trusts the authority and is not trusted by it.
pub(crate) fn stranger(authority: &MeshAuthority, id: &str) -> MeshTls {
    with_svid(&MeshAuthority::new("elsewhere").svid(id), id, authority)
}

/// Whose certificate ended long ago.
pub(crate) fn expired(authority: &MeshAuthority, id: &str) -> MeshTls {
    let svid = authority.svid_with(id, |params| {
        params.not_before = (SystemTime::UNIX_EPOCH).into();
        params.not_after = (SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1)).into();
    });
    with_svid(&svid, id, authority)
}

fn with_svid(svid: &Svid, id: &str, trusted: &MeshAuthority) -> MeshTls {
    let credentials = Credentials {
        chain: svid.chain.clone(),
        key: (&svid.key).into(),
        bundle: vec![trusted.root().clone()],
        identity: identity(id),
        not_after: svid.not_after,
    };
    MeshTls::build(&credentials).expect("they are valid")
}

fn leaf(certificates: &[CertificateDer<'static>]) -> Vec<u8> {
    certificates.first().expect("callers show one").to_vec()
}

fn status(status: u16) -> ResponseHead {
    let mut head = ResponseHead::default();
    head.set_status(status);
    head
}
