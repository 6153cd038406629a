//! The responder: sockets, and the tasks around them. All of it is on the control thread.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use weft_model::id::ServiceName;
use weft_runtime::{task, time};

use crate::answer::{Answer, answer};
use crate::forward::{Forwarder, read_message, write_message};
use crate::metrics::{By, DnsMetrics, Ended, Limit};
use crate::names::Names;
use crate::question::{Transport, UDP_BYTES};
use crate::upstreams::Upstreams;

/// A running responder. It ends when this is dropped, with all that is under way.
#[derive(Debug)]
pub struct Server {
    /// Gone when it is closed.
    listening: Option<watch::Sender<()>>,
    _alive: watch::Sender<()>,
}

/// Where a responder listens.
#[derive(Debug, Default)]
pub struct Sockets {
    /// For datagrams. Each must be bound to the address that queries come to: one bound to all
    /// addresses would reply from another one than was asked.
    pub udp: Vec<std::net::UdpSocket>,
    /// For connections.
    pub tcp: Vec<std::net::TcpListener>,
}

/// What a responder needs.
#[derive(Debug)]
pub struct Settings {
    /// The names, whenever they change.
    pub names: watch::Receiver<Arc<Names>>,
    /// Who knows all others.
    pub upstreams: Upstreams,
    /// Services go here that the names have to know in full. A service comes again with the next
    /// question for it, so that one may be lost when the channel is full.
    pub wanted: mpsc::Sender<ServiceName>,
    /// Bounds.
    pub limits: Limits,
    /// Where it counts.
    pub metrics: Arc<DnsMetrics>,
}

/// Bounds of a responder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Queries that wait for an upstream resolver or for new names at one time; further ones fail.
    pub queries: usize,
    /// TCP connections open at one time; further ones are closed.
    pub connections: usize,
    /// How long a TCP connection may stand still.
    pub idle: Duration,
    /// How long one upstream resolver has for one question.
    pub try_timeout: Duration,
    /// How often upstream resolvers are asked one question, all together.
    pub tries: usize,
    /// How long a query waits for names that know its service in full.
    pub wanted: Duration,
}

/// A socket could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer DNS on {addr}")]
pub struct BindError {
    /// Its address.
    pub addr: SocketAddr,
    /// The system's reason.
    pub source: io::Error,
}

#[derive(Debug)]
struct Responder {
    names: watch::Receiver<Arc<Names>>,
    wanted: mpsc::Sender<ServiceName>,
    forwarder: Forwarder,
    limits: Limits,
    metrics: Arc<DnsMetrics>,
    /// Ends when the server is dropped.
    alive: watch::Receiver<()>,
    queries: Rc<Cell<usize>>,
    connections: Rc<Cell<usize>>,
}

/// One of a bounded number; gives its place back when dropped.
#[derive(Debug)]
struct Place(Rc<Cell<usize>>);

/// A wait after an error of a listening socket, which may go on for a while: no memory, no
/// descriptors.
const ERROR_BACKOFF: Duration = Duration::from_millis(50);

// === impl Server ===

impl Server {
    /// Starts to answer.
    ///
    /// # Errors
    ///
    /// When a socket cannot be used.
    ///
    /// # Panics
    ///
    /// Outside a worker or control runtime.
    pub fn start(sockets: Sockets, settings: Settings) -> io::Result<Self> {
        let Sockets { udp, tcp } = sockets;
        let Settings { names, upstreams, wanted, limits, metrics } = settings;
        let udp: Vec<UdpSocket> = udp.into_iter().map(from_std_udp).collect::<io::Result<_>>()?;
        let tcp: Vec<TcpListener> = tcp.into_iter().map(from_std_tcp).collect::<io::Result<_>>()?;
        let own = udp.iter().filter_map(|socket| socket.local_addr().ok());
        let own = own.chain(tcp.iter().filter_map(|socket| socket.local_addr().ok())).collect();
        let forwarder = Forwarder::new(upstreams, own, limits, Arc::clone(&metrics));
        let (alive_sender, alive) = watch::channel(());
        let (listening_sender, listening) = watch::channel(());
        let (queries, connections) = Default::default();
        let responder =
            Responder { names, wanted, forwarder, limits, metrics, alive, queries, connections };
        let responder = Rc::new(responder);
        for socket in udp {
            let work = Rc::clone(&responder).serve_udp(socket);
            spawn("dns datagrams", listening.clone(), work);
        }
        for listener in tcp {
            let work = Rc::clone(&responder).serve_tcp(listener);
            spawn("dns connections", listening.clone(), work);
        }
        Ok(Self { listening: Some(listening_sender), _alive: alive_sender })
    }

    /// Takes nothing more from its sockets: somebody else does, who has them, too. What was taken
    /// is still answered, and connections that are open go on.
    pub fn close(&mut self) {
        self.listening = None;
    }
}

// === impl Sockets ===

impl Sockets {
    /// Sockets for datagrams and connections on each address. With port 0 the system gives each of
    /// them its own.
    ///
    /// # Errors
    ///
    /// [`BindError`], for instance when an address is in use.
    pub fn bind(addrs: &[SocketAddr]) -> Result<Self, BindError> {
        let mut sockets = Self::default();
        for &addr in addrs {
            let failed = |source| BindError { addr, source };
            sockets.udp.push(std::net::UdpSocket::bind(addr).map_err(failed)?);
            sockets.tcp.push(std::net::TcpListener::bind(addr).map_err(failed)?);
        }
        Ok(sockets)
    }
}

// === impl Limits ===

impl Limits {
    /// Three tries of 1.5 s are over before the system's resolver asks again after 5 s. A workload
    /// with 256 open questions has stopped to wait for their answers; one that has 64 connections
    /// does not close them.
    pub const DEFAULT: Self = Self {
        queries: 256,
        connections: 64,
        idle: Duration::from_secs(10),
        try_timeout: Duration::from_millis(1500),
        tries: 3,
        wanted: Duration::from_secs(1),
    };
}

// === impl Responder ===

impl Responder {
    /// Runs `work` until it ends or the server is dropped.
    fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + 'static) {
        spawn(name, self.alive.clone(), work);
    }

    async fn serve_udp(self: Rc<Self>, socket: UdpSocket) {
        let socket = Rc::new(socket);
        let mut buffer = vec![0; usize::from(UDP_BYTES)];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((len, peer)) => self.take_datagram(&socket, &buffer[..len], peer).await,
                Err(error) => {
                    tracing::debug!(%error, "a datagram was not received");
                    time::sleep(ERROR_BACKOFF).await;
                }
            }
        }
    }

    /// Answers what can be answered at once; for the rest there is a task.
    async fn take_datagram(
        self: &Rc<Self>,
        socket: &Rc<UdpSocket>,
        query: &[u8],
        peer: SocketAddr,
    ) {
        let since = time::now();
        let answer = answer(query, Transport::Udp, &self.names.borrow());
        if let Answer::Forward(question) | Answer::Ask { question, .. } = &answer {
            let Some(place) = Place::take(&self.queries, self.limits.queries) else {
                self.metrics.limited(Limit::Queries);
                self.count(Ended::Failed, By::Here, since);
                send(socket, question.failure(ResponseCode::ServFail), peer).await;
                return;
            };
            let (responder, socket, query) = (Rc::clone(self), Rc::clone(socket), query.to_vec());
            self.spawn("dns query", async move {
                let _place = place;
                let reply = responder.settle(answer, &query, Transport::Udp, since).await;
                send(&socket, reply, peer).await;
            });
        } else {
            let reply = self.settle(answer, query, Transport::Udp, since).await;
            send(socket, reply, peer).await;
        }
    }

    async fn serve_tcp(self: Rc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => match Place::take(&self.connections, self.limits.connections) {
                    Some(place) => {
                        let responder = Rc::clone(&self);
                        self.spawn("dns connection", async move {
                            let _place = place;
                            responder.serve_stream(stream).await;
                        });
                    }
                    None => self.metrics.limited(Limit::Connections),
                },
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    time::sleep(ERROR_BACKOFF).await;
                }
            }
        }
    }

    /// One query after the other, until the client closes or stands still.
    async fn serve_stream(&self, mut stream: TcpStream) {
        loop {
            let read = read_message(&mut stream, usize::from(UDP_BYTES));
            let Ok(Ok(query)) = time::timeout(self.limits.idle, read).await else { return };
            let since = time::now();
            let answer = answer(&query, Transport::Tcp, &self.names.borrow());
            let Some(reply) = self.settle(answer, &query, Transport::Tcp, since).await else {
                return;
            };
            let write = write_message(&mut stream, &reply);
            let Ok(Ok(())) = time::timeout(self.limits.idle, write).await else { return };
        }
    }

    /// The reply to a query, once it is there, and counted.
    async fn settle(
        &self,
        first: Answer,
        query: &[u8],
        transport: Transport,
        since: Instant,
    ) -> Option<Vec<u8>> {
        let (reply, ended, by) = match self.learned(first, query, transport).await {
            Answer::Reply(reply) => (Some(reply.bytes), reply.outcome.into(), By::Here),
            Answer::Drop => (None, Ended::Dropped, By::Here),
            Answer::Forward(question) | Answer::Ask { question, is_ours: false, .. } => {
                match self.forwarder.ask(&question, query).await {
                    Some(reply) => (Some(reply), Ended::Forwarded, By::Upstream),
                    None => (question.failure(ResponseCode::ServFail), Ended::Failed, By::Upstream),
                }
            }
            Answer::Ask { question, is_ours: true, .. } => {
                (question.failure(ResponseCode::ServFail), Ended::Failed, By::Here)
            }
        };
        self.count(ended, by, since);
        reply
    }

    /// What the answer becomes with the names that it asks for, if they come in time.
    async fn learned(&self, first: Answer, query: &[u8], transport: Transport) -> Answer {
        let Answer::Ask { service, .. } = &first else { return first };
        // A full channel has enough to do; the client will ask again.
        let _ = self.wanted.try_send(service.clone());
        let mut names = self.names.clone();
        let learn = async {
            while names.changed().await.is_ok() {
                let again = answer(query, transport, &names.borrow_and_update());
                if !matches!(again, Answer::Ask { .. }) {
                    return Some(again);
                }
            }
            None
        };
        match time::timeout(self.limits.wanted, learn).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(time::Elapsed) => first,
        }
    }

    fn count(&self, ended: Ended, by: By, since: Instant) {
        self.metrics.ended(ended, by, time::now().saturating_duration_since(since));
    }
}

// === impl Place ===

impl Place {
    fn take(taken: &Rc<Cell<usize>>, max: usize) -> Option<Self> {
        if taken.get() >= max {
            return None;
        }
        taken.set(taken.get() + 1);
        Some(Self(Rc::clone(taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Runs `work` until it ends or nobody wants it any more.
fn spawn(
    name: &'static str,
    mut wanted: watch::Receiver<()>,
    work: impl Future<Output = ()> + 'static,
) {
    task::spawn(name, async move {
        tokio::select! {
            _ = wanted.changed() => {}
            () = work => {}
        }
    });
}

/// A client that cannot be reached asks again, or is gone.
async fn send(socket: &UdpSocket, reply: Option<Vec<u8>>, peer: SocketAddr) {
    if let Some(reply) = reply
        && let Err(error) = socket.send_to(&reply, peer).await
    {
        tracing::debug!(%peer, %error, "a reply was not sent");
    }
}

fn from_std_udp(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn from_std_tcp(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests;
