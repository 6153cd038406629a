//! Who speaks what: the first bytes of either side tell.
//!
//! Nobody is waited for who will not speak. The client is listened to, and at the same time the
//! server, on a connection made for that purpose: whoever begins decides. Where it was learned that
//! the client begins, the server is not dialled before; a client that stays silent nevertheless
//! shows that something else was to be learned.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use weft_http::io::Io;
use weft_model::listener::{Direction, Limits};
use weft_model::outcome::Reason;
use weft_model::route::TcpRoute;
use weft_net::Inbox;
use weft_net::detect::{Detected, FirstBytes, detect};
use weft_runtime::drain::Phase;
use weft_runtime::{Watchdog, time};

use crate::accept::NotOpened;
use crate::connection::Connection;
use crate::learned::{Learner, Lesson};
use crate::metrics::{Limit, Outcome};
use crate::serve_h1;
use crate::serve_tcp::{self, Unreached, Upstream};

/// How long a client may be silent where it was learned to begin, before the server is listened to
/// as well: clients that connect ahead of need should cost no connection behind us. Also how long
/// more bytes are waited for where those that came could hardly begin a request.
const SILENCE: Duration = Duration::from_millis(200);

/// How long a client may still be silent when there is no server to hear from: one that has
/// something to say is to be told what is wrong, all others must not wait.
const GRACE: Duration = Duration::from_secs(1);

/// Where the server's first bytes could come from.
#[derive(Debug, Clone)]
pub(crate) enum Server {
    /// There.
    At(Arc<TcpRoute>),
    /// From nowhere: only clients that begin are served.
    None,
    /// The connection will be refused.
    Refused,
}

/// What was said first.
pub(crate) struct Spoken {
    /// By the client; `None` when the server began.
    pub(crate) first: Option<FirstBytes>,
    /// A connection to the server, if one was made.
    pub(crate) upstream: Option<Upstream>,
    /// What came on it.
    pub(crate) from_upstream: Option<Inbox>,
    /// What that was found to be, and how long it took; `None` where it was declared.
    pub(crate) heard: Option<(Outcome, Duration)>,
}

/// Listens to both sides.
pub(crate) struct Race<'a> {
    conn: &'a Rc<Connection>,
    server: Server,
    side: Side,
    from_upstream: Inbox,
    began: Instant,
    /// A server that does not answer is one that was to begin.
    server_first: bool,
    /// The connection came just before the end.
    hurries: bool,
    /// Why there is no server.
    unreached: Option<Unreached>,
}

/// How far the other side is.
enum Side {
    /// Not dialled before then.
    Later(Timer),
    Dialling(Pin<Box<dyn Future<Output = Result<Upstream, Unreached>>>>),
    Open(Box<Upstream>),
    /// It speaks HTTP/2, where it may begin and yet the client decides.
    Heard(Box<Upstream>),
    /// It will not speak; the client may until then.
    Lost(Timer),
    /// It is not listened to.
    Deaf,
}

/// What a server begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeting {
    /// SETTINGS (RFC 9113 section 3.4): it need not wait for the client's, and many do not.
    Http2,
    /// It has lost its patience with a client that was to begin (RFC 9110 section 15.5.9).
    Http1,
    /// It begins.
    Other,
    /// More bytes would tell.
    Unclear,
}

type Timer = Pin<Box<dyn Future<Output = ()>>>;

/// Waits for the first bytes of a client that is the one to begin.
pub(crate) async fn client(
    conn: &Rc<Connection>,
    io: &mut Io,
    inbox: &mut Inbox,
) -> Result<FirstBytes, NotOpened> {
    let mut race = Race::new(conn, Server::None, None);
    let limits = serve_h1::limits(conn);
    let watchdog = watchdog(conn).await;
    watchdog.arm(limits.idle_timeout);
    let first = poll_fn(|cx| race.poll(cx, io, inbox, &watchdog, &limits)).await?;
    first.ok_or(NotOpened::Closed)
}

async fn watchdog(conn: &Connection) -> Watchdog {
    poll_fn(|cx| Poll::Ready(conn.worker.deadlines.watchdog(cx))).await
}

// === impl Race ===

impl<'a> Race<'a> {
    pub(crate) fn new(
        conn: &'a Rc<Connection>,
        server: Server,
        upstream: Option<Upstream>,
    ) -> Self {
        let worker = &conn.worker;
        let lesson = conn.meant().and_then(|meant| worker.lessons.get(meant.direction, conn.local));
        let side = match (&server, upstream) {
            (_, Some(upstream)) => Side::Open(Box::new(upstream)),
            (Server::None, None) => Side::Deaf,
            (Server::Refused, None) => Side::Lost(timer(Self::grace(conn))),
            (Server::At(_), None) if lesson == Some(Lesson::ClientFirst) => {
                Side::Later(timer(SILENCE))
            }
            (Server::At(route), None) => Side::dial(conn, route),
        };
        Self {
            conn,
            server,
            side,
            from_upstream: Inbox::new(worker.buffers.pool()),
            began: worker.now(),
            server_first: lesson == Some(Lesson::ServerFirst),
            hurries: false,
            unreached: None,
        }
    }

    /// How long the client of a connection that is refused may take to say something: one that was
    /// kept waiting had that time.
    fn grace(conn: &Connection) -> Duration {
        let refusal = conn.meant().and_then(|meant| meant.refusal.as_ref());
        match refusal.map(|refusal| refusal.reason) {
            Some(Reason::ServiceUnlearned) => Duration::ZERO,
            _ => GRACE,
        }
    }

    /// Listens until somebody has said enough.
    pub(crate) async fn run(mut self, io: &mut Io, inbox: &mut Inbox) -> Result<Spoken, NotOpened> {
        let limits = serve_h1::limits(self.conn);
        let watchdog = watchdog(self.conn).await;
        watchdog.arm(limits.idle_timeout);
        let first = poll_fn(|cx| self.poll(cx, io, inbox, &watchdog, &limits)).await;
        let heard = self.note(&first, inbox);
        let first = first?;
        let upstream = match self.side {
            Side::Open(upstream) | Side::Heard(upstream) => Some(*upstream),
            // Whoever needs it goes on with it.
            Side::Dialling(dialling) if !is_request(first) => dialling.await.ok(),
            Side::Dialling(_) | Side::Later(_) | Side::Lost(_) | Side::Deaf => None,
        };
        Ok(Spoken { first, upstream, from_upstream: Some(self.from_upstream), heard })
    }

    /// What the client said first; `None` when the server began.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
        inbox: &mut Inbox,
        watchdog: &Watchdog,
        limits: &Limits,
    ) -> Poll<Result<Option<FirstBytes>, NotOpened>> {
        if let Poll::Ready(heard) = self.poll_client(cx, io, inbox, watchdog, limits) {
            return Poll::Ready(heard.map(Some));
        }
        if let Poll::Ready(heard) = self.poll_server(cx) {
            match heard {
                Ok(()) => return Poll::Ready(Ok(None)),
                // Of a client that has begun to speak, more is to come.
                Err(error) if inbox.is_empty() => return Poll::Ready(Err(error)),
                Err(_) => self.side = Side::Deaf,
            }
        }
        let worker = &self.conn.worker;
        if self.conn.is_ending() && inbox.is_empty() && !std::mem::replace(&mut self.hurries, true)
        {
            watchdog.arm(limits.idle_timeout.min(serve_h1::DRAIN_GRACE));
        }
        if watchdog.expired() {
            if !inbox.is_empty() {
                // It begins like several protocols and stops. What may go on as a request must not
                // get past those who look at requests.
                let first = match may_be_request(inbox.bytes()) {
                    true => FirstBytes::Http1,
                    false => FirstBytes::Other,
                };
                return Poll::Ready(Ok(Some(first)));
            }
            if self.hurries {
                return Poll::Ready(Err(NotOpened::Closed));
            }
            worker.metrics.limit(Limit::IdleTimeout);
            return Poll::Ready(Err(NotOpened::TimedOut));
        }
        if worker.phase() == Phase::Forced {
            return Poll::Ready(Err(NotOpened::Closed));
        }
        Poll::Pending
    }

    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Io,
        inbox: &mut Inbox,
        watchdog: &Watchdog,
        limits: &Limits,
    ) -> Poll<Result<FirstBytes, NotOpened>> {
        loop {
            match ready!(inbox.poll_fill(cx, io)) {
                // Bytes that stop here, or a client that only listens.
                Ok(0) if !inbox.is_empty() || self.side.may_speak() => {
                    return Poll::Ready(Ok(FirstBytes::Other));
                }
                Ok(0) => return Poll::Ready(Err(NotOpened::Closed)),
                Ok(_) => match detect(inbox.bytes()) {
                    Detected::Decided(first) => return Poll::Ready(Ok(first)),
                    Detected::NeedMore if may_be_request(inbox.bytes()) => {
                        watchdog.arm(limits.head_timeout);
                    }
                    Detected::NeedMore => watchdog.arm(SILENCE),
                },
                Err(error) => return Poll::Ready(Err(NotOpened::Io(error))),
            }
        }
    }

    /// Ready when the server has begun to speak, or will not.
    fn poll_server(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NotOpened>> {
        loop {
            match &mut self.side {
                Side::Deaf | Side::Heard(_) => return Poll::Pending,
                Side::Later(silence) => {
                    ready!(silence.as_mut().poll(cx));
                    self.side = match &self.server {
                        Server::At(route) => Side::dial(self.conn, route),
                        Server::None | Server::Refused => Side::Deaf,
                    };
                }
                Side::Dialling(dialling) => match ready!(dialling.as_mut().poll(cx)) {
                    Ok(upstream) => self.side = Side::Open(Box::new(upstream)),
                    Err(why) => {
                        self.unreached = Some(why);
                        let grace = if self.server_first { Duration::ZERO } else { GRACE };
                        self.side = Side::Lost(timer(grace));
                    }
                },
                Side::Open(upstream) => {
                    match ready!(upstream.poll_fill(cx, &mut self.from_upstream)) {
                        Ok(0) | Err(_) => self.side = Side::Lost(timer(GRACE)),
                        Ok(_) => match Greeting::of(self.from_upstream.bytes()) {
                            Greeting::Unclear => {}
                            Greeting::Other => return Poll::Ready(Ok(())),
                            Greeting::Http1 => {
                                self.from_upstream.clear();
                                self.side = Side::Lost(timer(GRACE));
                            }
                            Greeting::Http2 => self.hold(),
                        },
                    }
                }
                Side::Lost(grace) => {
                    ready!(grace.as_mut().poll(cx));
                    return Poll::Ready(Err(NotOpened::NoServer(self.unreached.take())));
                }
            }
        }
    }

    /// Listens no more, but keeps what was heard.
    fn hold(&mut self) {
        self.side = match std::mem::replace(&mut self.side, Side::Deaf) {
            Side::Open(upstream) => Side::Heard(upstream),
            other => other,
        };
    }

    /// Learns and counts; gives what it was, and how long it took to find out.
    fn note(
        &self,
        first: &Result<Option<FirstBytes>, NotOpened>,
        inbox: &Inbox,
    ) -> Option<(Outcome, Duration)> {
        let meant = self.conn.meant()?;
        let worker = &self.conn.worker;
        let outcome = match first {
            Ok(Some(FirstBytes::Http1)) => Outcome::Http1,
            Ok(Some(FirstBytes::Http2)) => Outcome::Http2,
            Ok(Some(FirstBytes::Tls)) => Outcome::Tls,
            Ok(Some(FirstBytes::ProxyV1 | FirstBytes::ProxyV2 | FirstBytes::Other)) => {
                if inbox.is_empty() { Outcome::Silent } else { Outcome::ClientFirst }
            }
            Ok(None) => Outcome::ServerFirst,
            Err(_) => Outcome::Silent,
        };
        let lesson = match outcome {
            Outcome::Http1 | Outcome::Http2 | Outcome::Tls => Some(Lesson::ClientFirst),
            Outcome::ServerFirst => Some(Lesson::ServerFirst),
            Outcome::ClientFirst | Outcome::Silent => None,
        };
        let learner = match (meant.direction, &meant.peer) {
            (Direction::Inbound, None) => Learner::Stranger,
            (Direction::Inbound, Some(_)) | (Direction::Outbound, _) => Learner::Known,
        };
        if outcome != Outcome::Silent {
            worker.lessons.learn(meant.direction, self.conn.local, lesson, learner);
        }
        let took = worker.now().saturating_duration_since(self.began);
        worker.metrics.mesh.detected(meant.direction, outcome, took);
        Some((outcome, took))
    }
}

// === impl Side ===

impl Side {
    fn dial(conn: &Rc<Connection>, route: &Arc<TcpRoute>) -> Self {
        let (conn, route) = (conn.clone(), route.clone());
        Self::Dialling(Box::pin(async move { serve_tcp::connect(&conn, &route).await }))
    }

    fn may_speak(&self) -> bool {
        matches!(self, Self::Dialling(_) | Self::Open(_) | Self::Heard(_))
    }
}

// === impl Greeting ===

impl Greeting {
    fn of(bytes: &[u8]) -> Self {
        let fits = |whole: &[u8]| {
            let common = bytes.len().min(whole.len());
            bytes[..common] == whole[..common]
        };
        if fits(b"HTTP/1.") {
            return if bytes.len() >= 7 { Self::Http1 } else { Self::Unclear };
        }
        // Length, type, no flags, stream 0; a few settings of six bytes each.
        let is_settings = bytes.iter().take(9).enumerate().all(|(index, byte)| match index {
            2 => byte.is_multiple_of(6),
            3 => *byte == 4,
            _ => *byte == 0,
        });
        match is_settings {
            true if bytes.len() >= 9 => Self::Http2,
            true => Self::Unclear,
            false => Self::Other,
        }
    }
}

// === functions ===

fn is_request(first: Option<FirstBytes>) -> bool {
    matches!(first, Some(FirstBytes::Http1 | FirstBytes::Http2))
}

/// Whether the first bytes could be those of a request, as far as they go: methods are upper case.
fn may_be_request(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    bytes.first().is_none_or(u8::is_ascii_uppercase)
}

fn timer(after: Duration) -> Timer {
    Box::pin(time::sleep(after))
}

#[cfg(test)]
mod tests {
    use super::Greeting::{self, Http1, Http2, Other, Unclear};

    #[test]
    fn servers_of_requests_are_told_from_servers_that_begin() {
        let check = |bytes: &[u8], expected| {
            assert_eq!(Greeting::of(bytes), expected, "{bytes:?}");
            for end in 1..bytes.len() {
                let part = Greeting::of(&bytes[..end]);
                assert!(part == expected || part == Unclear, "{end} of {bytes:?}: {part:?}");
            }
        };
        check(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64", Http2);
        check(b"\0\0\0\x04\0\0\0\0\0", Http2);
        check(b"HTTP/1.1 408 Request Timeout\r\n\r\n", Http1);
        check(b"\x4a\0\0\0\x0a5.7.0", Other);
        check(b"220 mail.example\r\n", Other);
        check(b"HELLO\r\n", Other);
        check(b"INFO {}\r\n", Other);
        check(b"\0\0\x05\x04\0\0\0\0\0", Other);
    }
}
