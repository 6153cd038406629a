//! Connections, and what is asked on them.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use weft_runtime::drain::{Phase, Watch};
use weft_runtime::{task, time};
use weft_tls::mesh::Caller;
use weft_wire::certificate::{ROOTS_PATH, SIGN_PATH};
use weft_wire::discovery::DELTA_PATH;
use weft_wire::workload_api::{FETCH_BUNDLES_PATH, FETCH_SVID_PATH, JWT_PATHS};

use crate::attest::{Attested, Peer, Process};
use crate::grpc::{Answer, LocalExecutor, server_stream, stream, unary};
use crate::places::Place;
use crate::plane::ControlPlane;
use crate::{certificates, discovery, upkeep, workload_api};

/// Where proxies come from.
#[derive(Debug)]
pub enum Listener {
    /// This machine; the kernel says who it is.
    Unix(UnixListener),
    /// The network; TLS.
    Tcp(TcpListener),
    /// Applications on this machine, who are served the SPIFFE Workload API and nothing else.
    Applications(UnixListener),
}

/// Bytes between the two ends of a connection inside this process.
const DUPLEX_BYTES: usize = 64 * 1024;

/// Header fields of one request; ours have some 200 bytes, and a join token.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// What is received of one stream before it is read.
const WINDOW_BYTES: u32 = 256 * 1024;

/// How long to wait when the system has no descriptor left for a connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

impl ControlPlane {
    /// Serves until the drain begins, and streams have ended.
    ///
    /// Not cancel safe: dropping it leaves streams open that nobody accepts more of.
    pub async fn run(&self, listeners: Vec<Listener>, drain: Watch) {
        let upkeep = task::spawn("control upkeep", upkeep::run(self.clone(), drain.clone()));
        let following =
            task::spawn("control generations", upkeep::follow(self.clone(), drain.clone()));
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|listener| {
                task::spawn("control listener", accept(self.clone(), listener, drain.clone()))
            })
            .collect();
        for task in accepting {
            // A listener that has panicked has said so.
            let _ = task.await;
        }
        drop(drain);
        let _ = (upkeep.await, following.await);
    }

    /// A connection from inside this process, for a proxy that is a part of it.
    pub fn attach(&self, who: Attested, drain: &Watch) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
        self.accept(ours, Peer::Own(who), drain.clone());
        theirs
    }

    /// Serves a connection by TCP that was accepted elsewhere, or its like: TLS comes first.
    pub fn take<I>(&self, io: I, addr: Option<SocketAddr>, drain: &Watch)
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (plane, drain) = (self.clone(), drain.clone());
        // It counts from here on: a handshake costs more than what comes after it.
        let Some(place) = plane.0.places.take(&Peer::Unknown { addr }) else { return };
        task::spawn("control handshake", async move {
            if let Some((io, peer)) = plane.handshake(io, addr).await {
                plane.serve(io, peer, place, drain);
            }
        });
    }

    fn accept<I>(&self, io: I, peer: Peer, drain: Watch)
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        if let Some(place) = self.0.places.take(&peer) {
            self.serve(io, peer, place, drain);
        }
    }

    fn serve<I>(&self, io: I, peer: Peer, place: Place, drain: Watch)
    where
        I: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let plane = self.clone();
        task::spawn("control connection", async move {
            Box::pin(connection(&plane, io, peer, drain)).await;
            drop(place);
        });
    }

    async fn handshake<I>(
        &self,
        io: I,
        addr: Option<SocketAddr>,
    ) -> Option<(tokio_rustls::server::TlsStream<I>, Peer)>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        let tls = self.0.tls.borrow().clone();
        let accepted = TlsAcceptor::from(tls.server_config().clone()).accept(io);
        let io = match time::timeout(self.0.settings.limits.handshake, accepted).await {
            Ok(Ok(io)) => io,
            Ok(Err(error)) => {
                tracing::info!(?addr, %error, "a TLS handshake has failed");
                return None;
            }
            Err(time::Elapsed) => {
                tracing::info!(?addr, "a TLS handshake takes too long");
                return None;
            }
        };
        match tls.caller(io.get_ref().1) {
            Ok(Some(caller)) => {
                let Caller { identity, not_after, has_ended } = caller;
                let identity = identity.identity().clone();
                let peer = match has_ended {
                    true => Peer::Returning { addr, identity, not_after },
                    false => Peer::Certified { addr, identity, not_after },
                };
                Some((io, peer))
            }
            Ok(None) => Some((io, Peer::Unknown { addr })),
            Err(error) => {
                tracing::info!(?addr, %error, "a certificate is refused");
                None
            }
        }
    }

    /// How long a connection may last.
    fn life(&self, peer: &Peer) -> Option<Duration> {
        match peer {
            Peer::Process(_) | Peer::Application(_) | Peer::Own(_) => None,
            Peer::Unknown { .. } | Peer::Returning { .. } => Some(self.0.settings.limits.joining),
            Peer::Certified { not_after, .. } => {
                Some(not_after.duration_since(self.0.settings.clock.now()).unwrap_or_default())
            }
        }
    }
}

async fn accept(plane: ControlPlane, listener: Listener, mut drain: Watch) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = drain.reached(Phase::Draining) => return,
        };
        match accepted {
            Ok(Accepted::Tcp(stream, addr)) => {
                // Messages are small, and waited for.
                let _ = stream.set_nodelay(true);
                plane.take(stream, Some(addr), &drain);
            }
            Ok(Accepted::Unix(stream)) => match stream.peer_cred() {
                Ok(cred) => {
                    let process = Process { uid: cred.uid(), pid: cred.pid() };
                    let peer = match listener {
                        Listener::Applications(_) => Peer::Application(process),
                        Listener::Unix(_) | Listener::Tcp(_) => Peer::Process(process),
                    };
                    plane.accept(stream, peer, drain.clone());
                }
                Err(error) => tracing::warn!(%error, "the system does not say who has connected"),
            },
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                time::sleep(EXHAUSTED).await;
            }
        }
    }
}

enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream, SocketAddr),
}

// === impl Listener ===

impl Listener {
    /// Cancel safe.
    async fn accept(&self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Unix(listener) | Self::Applications(listener) => {
                Accepted::Unix(listener.accept().await?.0)
            }
            Self::Tcp(listener) => {
                let (stream, addr) = listener.accept().await?;
                Accepted::Tcp(stream, addr)
            }
        })
    }
}

async fn connection<I>(plane: &ControlPlane, io: I, peer: Peer, mut drain: Watch)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = plane.0.settings.limits;
    let life = plane.life(&peer);
    let was_asked = Rc::new(Cell::new(false));
    let service = {
        let (plane, was_asked, drain) = (plane.clone(), was_asked.clone(), drain.clone());
        service_fn(move |request| {
            was_asked.set(true);
            answer(plane.clone(), peer.clone(), drain.clone(), request)
        })
    };
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.keep_alive);
    let mut conn = pin!(builder.serve_connection(TokioIo::new(io), service));
    let silence = async {
        time::sleep(limits.handshake).await;
        if was_asked.get() {
            pending::<()>().await;
        }
    };
    let end_of_life = async {
        match life {
            Some(life) => time::sleep(life).await,
            None => pending().await,
        }
    };
    tokio::select! {
        // Proxies come and go; what they have to say of it, their streams say.
        _ = conn.as_mut() => return,
        () = silence => return,
        () = end_of_life => {}
        _ = drain.reached(Phase::Draining) => {}
    }
    drop(drain);
    conn.as_mut().graceful_shutdown();
    let _ = time::timeout(limits.drain, conn).await;
}

async fn answer(
    plane: ControlPlane,
    peer: Peer,
    drain: Watch,
    request: http::Request<Incoming>,
) -> Answer {
    let bytes = plane.0.settings.limits.message_bytes;
    let is_application = matches!(peer, Peer::Application(_));
    let answer = match (is_application, request.uri().path()) {
        (false, DELTA_PATH) => {
            let serve = |requests, replies| discovery::serve(plane, peer, requests, replies, drain);
            stream("discovery", request, bytes, serve).await
        }
        (false, ROOTS_PATH) => {
            let serve =
                |requests, replies| certificates::roots(plane, peer, requests, replies, drain);
            stream("roots", request, bytes, serve).await
        }
        (false, SIGN_PATH) => {
            let sign = async move |request| certificates::sign(&plane, &peer, request).await;
            unary(request, bytes, sign).await
        }
        (true, FETCH_SVID_PATH) => {
            let serve =
                |request, replies| workload_api::fetch_svids(plane, peer, request, replies, drain);
            server_stream("svids", request, bytes, serve).await
        }
        (true, FETCH_BUNDLES_PATH) => {
            let serve = |request, replies| {
                workload_api::fetch_bundles(plane, peer, request, replies, drain)
            };
            server_stream("bundles", request, bytes, serve).await
        }
        (true, path) if JWT_PATHS.contains(&path) => {
            let text = "this version gives X.509-SVIDs only, no JWT-SVIDs: use FetchX509SVID";
            Status::unimplemented(text).into_http()
        }
        (_, path) => Status::unimplemented(format!("there is no {path} here")).into_http(),
    };
    Ok::<_, Infallible>(answer)
}
