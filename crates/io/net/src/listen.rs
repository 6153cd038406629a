//! Listening sockets and accepting.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// How long to stop accepting when descriptors or memory ran out, unless a connection closes
/// earlier: long enough not to spin, short beside a client's connect timeout.
pub const EXHAUSTED_BACKOFF: Duration = Duration::from_millis(50);

/// What Linux takes for probes; it refuses other values.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(1);
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(32_767);
const PROBES_MAX: u32 = 127;

/// How a listening socket is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections that wait to be accepted; the kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    /// `SO_REUSEPORT`: each worker has its own socket on the address, and a new process can bind
    /// it beside the old one.
    pub reuse_port: bool,
    /// Whether an IPv6 socket refuses IPv4; `None` accepts both on the unspecified address `[::]`.
    pub v6_only: Option<bool>,
    /// What accepted connections inherit.
    pub connection: ConnectionOptions,
}

/// Options of a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// How the kernel probes a peer that is silent; `None` never does.
    pub keepalive: Option<KeepAlive>,
    /// `TCP_USER_TIMEOUT`: how long sent bytes may stay unacknowledged; `None` is the kernel's
    /// some 15 minutes.
    pub user_timeout: Option<Duration>,
}

/// Probes of a silent connection. What lies outside of the kernel's ranges counts as the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first, 1 s to 32,767 s.
    pub idle: Duration,
    /// Between probes, in the same range.
    pub interval: Duration,
    /// Probes without an answer after which the connection is given up, 1 to 127; `None` is the
    /// system's number, usually 9.
    pub probes: Option<u32>,
}

/// A listening socket of one worker.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    local: SocketAddr,
}

/// A port kept for us: bound, but not listening, so that no connection comes to it.
#[derive(Debug)]
pub struct Reservation {
    _socket: Socket,
    addr: SocketAddr,
}

/// A connection that arrived.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, with the options of its listener.
    pub stream: TcpStream,
    /// The peer; an IPv4 peer of an IPv6 socket is shown as IPv4.
    pub peer: SocketAddr,
    /// Our end: the address that the peer connected to.
    pub local: SocketAddr,
}

/// A listening socket could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {}", advice(source))]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// The system's reason.
    pub source: io::Error,
}

/// A connection could not be accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// That one connection is gone or refused by the system; accept the next at once.
    #[error("a connection was lost before it was accepted")]
    Transient(#[source] io::Error),
    /// No descriptors or memory; accept again after [`EXHAUSTED_BACKOFF`].
    #[error("out of descriptors or memory; raise the limit of open files")]
    Exhausted(#[source] io::Error),
    /// The socket is unusable.
    #[error("the listening socket is unusable")]
    Fatal(#[source] io::Error),
}

/// Opens a listening socket, not yet tied to a runtime.
///
/// # Errors
///
/// [`BindError`] with the system's reason, for instance an address in use.
pub fn bind(addr: SocketAddr, options: &ListenOptions) -> Result<std::net::TcpListener, BindError> {
    let opened = || -> io::Result<std::net::TcpListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        if let SocketAddr::V6(v6) = addr {
            socket.set_only_v6(options.v6_only.unwrap_or(!v6.ip().is_unspecified()))?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(options.reuse_port)?;
        socket.set_nonblocking(true)?;
        apply(SockRef::from(&socket), &options.connection)?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Ok(socket.into())
    };
    opened().map_err(|source| BindError { addr, source })
}

/// Keeps a port that the system chooses. Sockets made by [`bind`] with
/// [`ListenOptions::reuse_port`] can have it while the reservation lives.
///
/// # Errors
///
/// When the address is not ours or no port is free.
pub fn reserve(ip: IpAddr) -> Result<Reservation, BindError> {
    let wanted = SocketAddr::new(ip, 0);
    let opened = || -> io::Result<Reservation> {
        let socket = Socket::new(Domain::for_address(wanted), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&wanted.into())?;
        let addr = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Reservation { _socket: socket, addr })
    };
    opened().map_err(|source| BindError { addr: wanted, source })
}

/// Sets the options of a connection that we opened. Accepted ones have inherited theirs.
///
/// # Errors
///
/// The system's; a connection that is already gone for instance.
pub fn tune(stream: &TcpStream, options: &ConnectionOptions) -> io::Result<()> {
    apply(SockRef::from(stream), options)
}

// === impl ListenOptions ===

impl ListenOptions {
    /// Backlog 4096 (Linux's own default cap), one socket per worker, both IP versions on `[::]`,
    /// [`ConnectionOptions::DEFAULT`].
    pub const DEFAULT: Self = Self {
        backlog: 4096,
        reuse_port: true,
        v6_only: None,
        connection: ConnectionOptions::DEFAULT,
    };
}

// === impl ConnectionOptions ===

impl ConnectionOptions {
    /// Probes after 15 s without traffic, as Go's and so Traefik's servers do; no user timeout.
    pub const DEFAULT: Self = Self { keepalive: Some(KeepAlive::DEFAULT), user_timeout: None };
}

// === impl KeepAlive ===

impl KeepAlive {
    const DEFAULT: Self =
        Self { idle: Duration::from_secs(15), interval: Duration::from_secs(15), probes: None };
}

// === impl Listening ===

impl Listening {
    /// Ties a socket that listens already, one that the control thread has bound, to the runtime
    /// that runs this.
    ///
    /// # Errors
    ///
    /// The system's, when the descriptor is no listening TCP socket.
    pub fn from_std(
        listener: std::net::TcpListener,
        options: &ConnectionOptions,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        apply(SockRef::from(&listener), options)?;
        let listener = TcpListener::from_std(listener)?;
        let local = listener.local_addr()?;
        Ok(Self { listener, local })
    }

    /// The bound address, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits for a connection.
    ///
    /// Cancel safe: no connection is lost when it is dropped.
    ///
    /// # Errors
    ///
    /// [`AcceptError`], which says whether and when to go on.
    pub async fn accept(&self) -> Result<Accepted, AcceptError> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Accepted, AcceptError>> {
        let (stream, peer) = ready!(self.listener.poll_accept(cx)).map_err(AcceptError::from_io)?;
        // Asking the system costs a call, and only a wildcard socket leaves the answer open.
        let local = if self.local.ip().is_unspecified() {
            stream.local_addr().map_err(AcceptError::Transient)?
        } else {
            self.local
        };
        Poll::Ready(Ok(Accepted { stream, peer: canonical(peer), local: canonical(local) }))
    }
}

// === impl Reservation ===

impl Reservation {
    /// The port.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }
}

// === impl AcceptError ===

impl AcceptError {
    /// Sorts an error of accept(2); the manual page asks to treat the network's as transient.
    fn from_io(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                Self::Exhausted(error)
            }
            Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT) => {
                Self::Fatal(error)
            }
            _ => Self::Transient(error),
        }
    }
}

// === functions ===

fn apply(socket: SockRef<'_>, options: &ConnectionOptions) -> io::Result<()> {
    // We write whole messages; waiting for more would only delay the last segment.
    socket.set_tcp_nodelay(true)?;
    match options.keepalive {
        Some(KeepAlive { idle, interval, probes }) => {
            let whole = |time: Duration| time.clamp(KEEP_ALIVE_MIN, KEEP_ALIVE_MAX);
            let keepalive =
                TcpKeepalive::new().with_time(whole(idle)).with_interval(whole(interval));
            let keepalive = match probes {
                Some(probes) => keepalive.with_retries(probes.clamp(1, PROBES_MAX)),
                None => keepalive,
            };
            socket.set_tcp_keepalive(&keepalive)?;
        }
        None => socket.set_keepalive(false)?,
    }
    #[cfg(target_os = "linux")]
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    Ok(())
}

/// The system's reason and, where there is one, what to do.
fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the address is in use by another process".into(),
        io::ErrorKind::PermissionDenied => "not permitted; a port below 1024 needs the capability \
                                            CAP_NET_BIND_SERVICE, or choose a higher port"
            .into(),
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address".into(),
        _ => error.to_string(),
    }
}

/// IPv4 in IPv6 as IPv4, so that address lists and logs need one form.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V4(ip), addr.port()),
        IpAddr::V6(_) => addr,
    }
}

#[cfg(test)]
mod tests;
