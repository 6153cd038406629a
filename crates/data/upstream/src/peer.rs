//! Connections to the proxies beside endpoints, of one worker.
//!
//! Whatever goes to workloads behind one proxy shares its connections, whichever backend and port it
//! belongs to: they are HTTP/2 with mutual TLS, one for requests (`weftway/1`) and one for tunnels
//! (`h2`, HBONE), and more only when all streams of one are in use.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;
use weft_http::buffers::Buffers;
use weft_http::h2::{Client, ClientConnection, Tunnel};
use weft_http::io::Io;
use weft_message::{Fields, HeadLimits};
use weft_model::mesh::Peer;
use weft_runtime::{task, time};
use weft_tls::mesh::{self, Alpn, Established, Offer, Target};
use weft_tls::{MeshTls, MeshTlsCell};

use crate::dial::{H2_HEAD_BYTES_MAX, connect_tcp};
use crate::error::ConnectError;
use crate::metrics::PeerCells;
use crate::pool::{Reuse, SharedPool};

/// A connection without streams is closed after this: handshakes are dear, so it is kept for as long
/// as the other proxy, which closes after 180 s, can be trusted to keep it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Whatever the settings of a backend are: others use the connections as well.
const REUSE: Reuse = Reuse::until_idle(IDLE_TIMEOUT);

/// How often a connection is made, or a tunnel asked for, where the other proxy ends the connection
/// in order before it has taken anything: it is being replaced, and the next one is its successor's.
const TRIES_MAX: u32 = 3;

/// Limits of the answer to CONNECT.
const ANSWER: HeadLimits =
    HeadLimits { head_bytes_max: 16 << 10, fields_max: 64, target_bytes_max: 0 };

/// The proxies that this worker's endpoints are behind.
#[derive(Debug)]
pub(crate) struct Peers {
    tls: MeshTlsCell,
    cells: Arc<PeerCells>,
    known: RefCell<HashMap<Peer, Weak<PeerPool>>>,
    /// What the connections that are lent were made with.
    present: RefCell<Option<Arc<MeshTls>>>,
}

/// The connections to one proxy. They live as long as an endpoint is behind it.
#[derive(Debug)]
pub(crate) struct PeerPool {
    peer: Arc<Peer>,
    tls: MeshTlsCell,
    cells: Arc<PeerCells>,
    shared: SharedPool<Terms>,
}

/// How requests get to a workload.
#[derive(Debug)]
pub(crate) enum Way {
    /// As streams of this connection, which had been without any for so long; `None` when it is new.
    Requests(Client, Option<Duration>),
    /// In tunnels only: the proxy is not one of ours.
    Tunnels,
}

/// What a connection was made on.
#[derive(Debug)]
struct Terms {
    offer: Offer,
    alpn: Alpn,
    tls: Arc<MeshTls>,
}

/// Counts an attempt to connect as failed when it is dropped, as it is when its time is over.
#[derive(Debug)]
struct Attempt<'a> {
    cells: &'a PeerCells,
}

/// Counts an open connection.
#[derive(Debug)]
struct Open(Arc<PeerCells>);

// === impl Peers ===

impl Peers {
    /// None yet. They are told who we are by what `tls` holds.
    pub(crate) fn new(tls: MeshTlsCell, cells: Arc<PeerCells>) -> Self {
        let present = RefCell::new(tls.current());
        Self { tls, cells, known: RefCell::default(), present }
    }

    /// The connections to a proxy, the same for all who ask.
    pub(crate) fn pool(&self, peer: &Arc<Peer>) -> Rc<PeerPool> {
        let mut known = self.known.borrow_mut();
        if let Some(pool) = known.get(&**peer).and_then(Weak::upgrade) {
            return pool;
        }
        let pool = Rc::new(PeerPool {
            peer: Arc::clone(peer),
            tls: self.tls.clone(),
            cells: Arc::clone(&self.cells),
            shared: SharedPool::default(),
        });
        known.insert(Peer::clone(peer), Rc::downgrade(&pool));
        pool
    }

    /// Lets go of what is idle for too long, has ended, or was made with other credentials than the
    /// present ones, if those have not ended; streams that are open go on. True when the credentials
    /// are others than at the last sweep: then what goes through tunnels is to be let go, too.
    pub(crate) fn sweep(&self, now: Instant) -> bool {
        let tls = valid(self.tls.current(), time::wall());
        self.known.borrow_mut().retain(|_, pool| {
            let Some(pool) = pool.upgrade() else { return false };
            pool.sweep(now, tls.as_ref());
            true
        });
        let before = self.present.replace(tls);
        !is_same(before.as_ref(), self.present.borrow().as_ref())
    }
}

// === impl PeerPool ===

impl PeerPool {
    /// Which proxy it is.
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// How requests get there, as far as that is known without waiting.
    pub(crate) fn way(&self, now: Instant) -> Option<Way> {
        let taken = self.shared.take(now, &REUSE, |terms| terms.alpn == Alpn::Weftway1);
        if let Some((client, idle)) = taken {
            return Some(Way::Requests(client, Some(idle)));
        }
        self.shared.any(Terms::refuse_requests).then_some(Way::Tunnels)
    }

    /// How requests get there.
    ///
    /// Cancel safe: dropping it closes what was begun.
    ///
    /// # Errors
    ///
    /// When there is no connection to the proxy, and none can be made.
    pub(crate) async fn find_way(
        &self,
        now: Instant,
        buffers: &Buffers,
    ) -> Result<Way, ConnectError> {
        let _turn = self.shared.turn().await;
        // Somebody else may have made one while we waited.
        if let Some(way) = self.way(now) {
            return Ok(way);
        }
        let (client, alpn) = self.dial(Offer::Requests, buffers).await?;
        Ok(match alpn {
            Alpn::Weftway1 => Way::Requests(client, None),
            Alpn::H2 => Way::Tunnels,
        })
    }

    /// A byte stream to the workload at `to`, which the proxy connects to.
    ///
    /// Cancel safe: dropping it closes the tunnel.
    ///
    /// # Errors
    ///
    /// When there is no connection to the proxy and none can be made, or when the proxy refuses.
    pub(crate) async fn tunnel(
        &self,
        now: Instant,
        to: SocketAddr,
        buffers: &Buffers,
    ) -> Result<Tunnel, ConnectError> {
        let mut left = TRIES_MAX;
        loop {
            left -= 1;
            let mut client = self.tunnels(now, buffers).await?;
            let opened = Tunnel::open(&mut client, to, Fields::new(), &ANSWER).await;
            // It had ended, and nobody had noticed, or it ends just now: a new one may do better.
            if opened.is_ok() || left == 0 || !client.is_closed() {
                return opened.map_err(ConnectError::Tunnel);
            }
        }
    }

    /// A connection for tunnels.
    async fn tunnels(&self, now: Instant, buffers: &Buffers) -> Result<Client, ConnectError> {
        let take = || self.shared.take(now, &REUSE, |terms| terms.alpn == Alpn::H2);
        if let Some((client, _)) = take() {
            return Ok(client);
        }
        let _turn = self.shared.turn().await;
        if let Some((client, _)) = take() {
            return Ok(client);
        }
        let (client, _) = self.dial(Offer::Tunnels, buffers).await?;
        Ok(client)
    }

    /// Makes a connection and adds it. It is there when the proxy has said that it takes us.
    async fn dial(&self, offer: Offer, buffers: &Buffers) -> Result<(Client, Alpn), ConnectError> {
        for _ in 1..TRIES_MAX {
            match self.dial_once(offer, buffers).await {
                Err(error) if error.is_goodbye() => {}
                dialled => return dialled,
            }
        }
        self.dial_once(offer, buffers).await
    }

    async fn dial_once(
        &self,
        offer: Offer,
        buffers: &Buffers,
    ) -> Result<(Client, Alpn), ConnectError> {
        let attempt = Attempt { cells: &self.cells };
        let (client, connection, alpn, tls) = self.establish(offer, buffers).await?;
        attempt.succeeded();
        self.shared.add(time::now(), client.clone(), Terms { offer, alpn, tls });
        let open = Open::new(&self.cells);
        task::spawn("mesh-h2", async move {
            // Its end is seen by every stream on it, and by the next look at the pool.
            let _ = connection.await;
            drop(open);
        });
        Ok((client, alpn))
    }

    async fn establish(
        &self,
        offer: Offer,
        buffers: &Buffers,
    ) -> Result<(Client, ClientConnection, Alpn, Arc<MeshTls>), ConnectError> {
        let tls = self.tls.current().ok_or(ConnectError::NoCertificate)?;
        if let Ok(ago) = time::wall().duration_since(tls.not_after()) {
            return Err(ConnectError::CertificateExpired(ago));
        }
        let Peer { addr, identity } = &*self.peer;
        let tcp: TcpStream = connect_tcp(*addr, None).await?;
        let expected = std::slice::from_ref(identity);
        let target = Target { ip: addr.ip(), expected, offer };
        let made = mesh::connect(tcp, &tls, &target, buffers.pool()).await?;
        let Established { stream, alpn, refusal, .. } = made;
        // A server that refuses us says so only now (TLS 1.3).
        let refused =
            |error| refusal.reason().map_or(ConnectError::H2(error), ConnectError::Identity);
        let io = Io::Other(Box::new(stream));
        let (client, mut connection) =
            Client::handshake(io, H2_HEAD_BYTES_MAX, buffers).await.map_err(&refused)?;
        connection.confirm().await.map_err(&refused)?;
        Ok((client, connection, alpn, tls))
    }

    fn sweep(&self, now: Instant, tls: Option<&Arc<MeshTls>>) {
        self.shared.retain(|terms| is_same(Some(&terms.tls), tls));
        self.shared.sweep(now, &REUSE);
    }
}

// === impl Terms ===

impl Terms {
    /// Whether the proxy was offered to take requests, and would not.
    fn refuse_requests(&self) -> bool {
        self.offer == Offer::Requests && self.alpn == Alpn::H2
    }
}

// === impl Attempt ===

impl Attempt<'_> {
    fn succeeded(self) {
        self.cells.connects.inc();
        std::mem::forget(self);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.cells.failures.inc();
    }
}

// === impl Open ===

impl Open {
    fn new(cells: &Arc<PeerCells>) -> Self {
        cells.open.inc();
        Self(Arc::clone(cells))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.dec();
    }
}

// === functions ===

/// Credentials, unless their certificate has ended.
fn valid(tls: Option<Arc<MeshTls>>, now: SystemTime) -> Option<Arc<MeshTls>> {
    tls.filter(|tls| now < tls.not_after())
}

fn is_same(one: Option<&Arc<MeshTls>>, other: Option<&Arc<MeshTls>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
