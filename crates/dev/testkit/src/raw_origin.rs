//! An HTTP/1.1 origin that keeps the exact bytes it got and answers by script.

mod exchange;
mod serve;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::RootCertStore;

use crate::certificates::Leaf;
use crate::response::values;
use crate::wait::DEADLINE;

pub use exchange::{Exchange, Next};

/// A running origin. Without a script for its path, a request is answered by its [`crate::Echo`].
#[derive(Debug)]
pub struct RawOrigin {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How an origin is made.
#[derive(Debug)]
pub struct RawOriginBuilder {
    name: String,
    idle_close: Option<Duration>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRequest {
    /// Index of its connection.
    pub connection: usize,
    /// The head with its empty line, byte for byte.
    pub head: Vec<u8>,
    /// The body with its framing, byte for byte, as far as it was read.
    pub body_raw: Vec<u8>,
    /// The body without framing.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Vec<(String, String)>,
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `HTTP/1.1`.
    pub version: String,
    /// Header fields in order.
    pub headers: Vec<(String, String)>,
}

/// What one connection saw.
#[derive(Debug, Clone, Default)]
pub struct ConnectionLog {
    /// Every byte that was read, in order.
    pub bytes: Vec<u8>,
    /// Whether it has ended.
    pub is_closed: bool,
    /// Whether the peer ended it first.
    pub closed_by_peer: bool,
    /// Server name of the TLS hello.
    pub server_name: Option<String>,
    /// Whether the client showed a certificate.
    pub has_client_certificate: bool,
}

/// Holds a script up until a test opens it.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

type Script = Arc<dyn Fn(&mut Exchange<'_>) -> io::Result<Next> + Send + Sync>;

#[derive(Default)]
struct Shared {
    name: String,
    idle_close: Option<Duration>,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: AtomicBool,
    scripts: Mutex<HashMap<String, Script>>,
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Default)]
struct Log {
    connections: Vec<ConnectionLog>,
    requests: Vec<RawRequest>,
    /// For shutting down.
    sockets: Vec<Option<TcpStream>>,
}

// === impl RawOrigin ===

impl RawOrigin {
    /// An origin of that name, without TLS.
    pub fn start(name: &str) -> Self {
        Self::builder(name).start()
    }

    /// An origin with options.
    pub fn builder(name: &str) -> RawOriginBuilder {
        RawOriginBuilder { name: name.into(), idle_close: None, tls: None }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers requests for `path` (without query) by a script. A later one replaces it. An error
    /// of the script ends the connection.
    pub fn on(
        &self,
        path: &str,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Next> + Send + Sync + 'static,
    ) -> &Self {
        lock(&self.shared.scripts).insert(path.into(), Arc::new(script));
        self
    }

    /// Answers requests for `path` with exactly these bytes once the request was read, then keeps
    /// the connection or closes it.
    pub fn on_raw(&self, path: &str, answer: impl Into<Vec<u8>>, next: Next) -> &Self {
        let answer = answer.into();
        self.on(path, move |x| {
            x.read_body()?;
            x.send(&answer)?;
            Ok(next)
        })
    }

    /// Answers requests for `path` with a status and a body.
    pub fn on_status(&self, path: &str, status: u16, body: impl Into<Vec<u8>>) -> &Self {
        let body = body.into();
        self.on(path, move |x| {
            x.read_body()?;
            x.respond(status, &[], &body)?;
            Ok(Next::KeepAlive)
        })
    }

    /// Answers requests for `path` with their own bodies.
    pub fn send_back(&self, path: &str) -> &Self {
        self.on(path, |x| {
            let body = x.read_body()?.body.clone();
            x.respond(200, &[], body)?;
            Ok(Next::KeepAlive)
        })
    }

    /// Never answers requests for `path`: the peer has to give up.
    pub fn hang(&self, path: &str) -> &Self {
        self.on(path, |x| x.wait_for_close())
    }

    /// Answers requests for `path` by their echoes, but only once the gate is open.
    pub fn hold(&self, path: &str) -> Gate {
        let gate = Gate::new();
        let held = gate.clone();
        self.on(path, move |x| {
            x.wait(&held);
            x.echo()
        });
        gate
    }

    /// The requests so far, in the order of their heads.
    pub fn requests(&self) -> Vec<RawRequest> {
        lock(&self.shared.log).requests.clone()
    }

    /// The connections so far.
    pub fn connections(&self) -> Vec<ConnectionLog> {
        lock(&self.shared.log).connections.clone()
    }

    /// Requests whose path (without query) is this.
    pub fn requests_for(&self, path: &str) -> Vec<RawRequest> {
        let is_for = |request: &RawRequest| request.target.split('?').next() == Some(path);
        self.requests().into_iter().filter(is_for).collect()
    }

    /// Waits until the requests and connections satisfy `condition`.
    ///
    /// # Panics
    ///
    /// When they do not within the deadline.
    pub fn wait_for(
        &self,
        what: &str,
        condition: impl Fn(&[RawRequest], &[ConnectionLog]) -> bool,
    ) {
        let log = lock(&self.shared.log);
        let unmet = |log: &mut Log| !condition(&log.requests, &log.connections);
        let (log, timeout) = self
            .shared
            .changed
            .wait_timeout_while(log, DEADLINE, unmet)
            .unwrap_or_else(PoisonError::into_inner);
        let requests = log.requests.len();
        assert!(
            !timeout.timed_out(),
            "waited in vain for {what}; the origin got {requests} requests"
        );
    }

    /// Forgets the requests so far. Not to be called while one is being read.
    pub fn forget(&self) {
        lock(&self.shared.log).requests.clear();
    }

    /// Ends every open connection, as a restart would.
    pub fn close_connections(&self) {
        for socket in lock(&self.shared.log).sockets.iter().flatten() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.close_connections();
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.close_connections();
    }
}

// === impl RawOriginBuilder ===

impl RawOriginBuilder {
    /// Closes a connection that was idle for so long after an answer.
    #[must_use]
    pub fn idle_close(mut self, after: Duration) -> Self {
        self.idle_close = Some(after);
        self
    }

    /// Speaks TLS with this certificate.
    #[must_use]
    pub fn tls(mut self, leaf: &Leaf) -> Self {
        self.tls = Some(leaf.server_config(&["http/1.1"], None));
        self
    }

    /// Speaks TLS and requires a client certificate of these authorities.
    #[must_use]
    pub fn mutual_tls(mut self, leaf: &Leaf, clients: Arc<RootCertStore>) -> Self {
        self.tls = Some(leaf.server_config(&["http/1.1"], Some(clients)));
        self
    }

    /// Listens.
    ///
    /// # Panics
    ///
    /// When the system gives no port.
    pub fn start(self) -> RawOrigin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            name: self.name,
            idle_close: self.idle_close,
            tls: self.tls,
            ..Shared::default()
        });
        let accepting = shared.clone();
        let thread = std::thread::spawn(move || serve::accept_all(&listener, &accepting));
        RawOrigin { addr, shared, thread: Some(thread) }
    }
}

// === impl RawRequest ===

impl RawRequest {
    /// The first value of a header, by name without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).next()
    }

    /// All values of a header.
    pub fn headers_named(&self, name: &str) -> impl Iterator<Item = &str> {
        values(&self.headers, name)
    }

    /// Takes over what `more`, which is this request, has read since.
    fn add(&mut self, more: &Self) {
        self.body_raw.extend_from_slice(&more.body_raw[self.body_raw.len()..]);
        self.body.extend_from_slice(&more.body[self.body.len()..]);
        self.trailers.clone_from(&more.trailers);
    }

    /// The head as text.
    pub fn head_text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }
}

// === impl Gate ===

impl Gate {
    /// Closed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        *lock(&self.0.0)
    }

    /// Waits until it is open, at most the usual deadline.
    pub fn wait(&self) {
        let state = lock(&self.0.0);
        let result = self.0.1.wait_timeout_while(state, DEADLINE, |open| !*open);
        drop(result.unwrap_or_else(PoisonError::into_inner));
    }
}

// === impl Shared ===

impl Shared {
    fn update<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let result = change(&mut lock(&self.log));
        self.changed.notify_all();
        result
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
