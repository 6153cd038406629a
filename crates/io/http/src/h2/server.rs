//! The accepting side.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use weft_message::h2::{Config, Excess, Failure, Reason, Section, Session};
use weft_message::{HeadLimits, PathRules, RequestHead, Scheme};
use weft_runtime::time;

use crate::buffers::Buffers;
use crate::error::HeadError;
use crate::h2::conn::Conn;
use crate::h2::error::Error;
use crate::h2::stream::Stream;
use crate::io::Io;

/// Bounds of one connection.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Streams at one time.
    pub streams_max: u32,
    /// Head of one request, bytes as HTTP/2 counts them (32 per field added). Heads of up to twice
    /// this size and some more are given out as well, so that whoever reads them can say what is
    /// wrong; those beyond are answered with 431 here.
    pub head_bytes_max: u32,
    /// Window of the connection, bytes.
    pub connection_window_bytes: u32,
    /// Window of one stream, bytes.
    pub stream_window_bytes: u32,
    /// Streams that the peer may reset, or make us reset, within ten seconds.
    pub resets_max: u32,
    /// Control frames, and empty ones, that the peer may send within ten seconds, besides those that
    /// its requests and our answers account for.
    pub control_frames_max: u32,
}

/// A head over its limit is given out up to twice the limit and this much more, bytes: pseudo-fields
/// and a target of usual length do not count against the limit.
const HEAD_SLACK_BYTES: u32 = 32 << 10;

/// An accepting connection. Has to be polled for anything to move on any of its streams.
#[derive(Debug)]
pub struct Server(Conn);

/// A request.
#[derive(Debug)]
pub struct Accepted {
    section: Box<Section>,
    stream: Stream,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum Ended {
    /// In order.
    Closed,
    /// The connection broke, or somebody broke the protocol.
    Failed(Error),
}

// === impl Server ===

impl Server {
    /// Exchanges settings.
    ///
    /// Not cancel safe: dropping it closes the connection.
    ///
    /// # Errors
    ///
    /// When the connection breaks or the peer does not speak HTTP/2.
    pub async fn handshake(
        io: Io,
        settings: &ServerSettings,
        buffers: &Buffers,
    ) -> Result<Self, Error> {
        let ServerSettings {
            streams_max,
            head_bytes_max,
            connection_window_bytes,
            stream_window_bytes,
            resets_max,
            control_frames_max,
        } = *settings;
        let head_bytes_max = head_bytes_max.saturating_mul(2).saturating_add(HEAD_SLACK_BYTES);
        let config = Config {
            streams_max,
            head_bytes_max,
            connection_window_bytes,
            stream_window_bytes,
            resets_max,
            control_frames_max,
        };
        let session = Session::server(config, buffers.spares().clone(), time::now());
        let mut conn = Conn::new(io, session, buffers, true);
        conn.link.get().clients = 1;
        poll_fn(|cx| match conn.poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.and(Err(Error::Failed(Failure::Closed)))),
            Poll::Pending if !conn.link.get().session.is_established() => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        Ok(Self(conn))
    }

    /// Waits for a request; moves all streams meanwhile. When the peer turns out to do too much of
    /// something it is told so and the connection ends; see [`Server::take_excess`].
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Accepted, Ended>> {
        if let Some(accepted) = self.accept() {
            return Poll::Ready(Ok(accepted));
        }
        let polled = self.0.poll(cx);
        if let Some(accepted) = self.accept() {
            return Poll::Ready(Ok(accepted));
        }
        polled.map(|ended| {
            Err(match ended {
                Ok(()) => Ended::Closed,
                Err(error) => Ended::Failed(error),
            })
        })
    }

    fn accept(&mut self) -> Option<Accepted> {
        let mut inner = self.0.link.get();
        let key = inner.session.accept()?;
        let section = inner.session.take_request(key)?;
        drop(inner);
        Some(Accepted { section, stream: Stream::server(self.0.link.clone(), key) })
    }

    /// Counts a stream that the peer reset before it was answered. With one too many, the connection
    /// ends.
    pub fn count_reset(&mut self, now: Instant) {
        self.0.link.get().session.count_reset(now);
    }

    /// What the peer did too much of, said once. It has been told; poll on until the connection has
    /// ended, but not for long.
    pub fn take_excess(&mut self) -> Option<Excess> {
        self.0.link.get().session.take_excess()
    }

    /// How many heads were so large that they were answered with 431 without having been given out,
    /// since this was last asked.
    pub fn take_heads_exceeded(&self) -> u32 {
        self.0.link.get().session.take_heads_exceeded()
    }

    /// Whether the last frames are out or on their way. Poll on, but not for long.
    pub fn is_closing(&self) -> bool {
        self.0.link.get().session.over().is_some()
    }

    /// How often data had to wait because the peer did not read what was there, since this was last
    /// asked.
    pub fn take_queue_exhausted(&self) -> u32 {
        self.0.link.get().session.take_queue_exhausted()
    }

    /// Tells the peer to send no more requests; those under way are finished, then the connection
    /// ends.
    pub fn drain(&mut self) {
        self.0.lingers = false;
        self.0.link.get().session.drain();
    }

    /// Ends the connection at once. Poll on until it has ended, but not for long: a peer that does
    /// not read keeps the last frame from leaving.
    pub fn force(&mut self) {
        self.0.lingers = false;
        self.0.link.get().session.close(Reason::NO_ERROR);
    }
}

// === impl Accepted ===

impl Accepted {
    /// What the head takes, bytes as HTTP/2 counts them.
    pub fn head_bytes(&self) -> usize {
        self.section.list_bytes()
    }

    /// Does not serve the request: tells the peer that nothing was done about it, so that it may
    /// try again elsewhere (RFC 9113 section 8.7).
    pub fn refuse(mut self) {
        self.stream.reset(Reason::REFUSED_STREAM);
    }

    /// Reads the head into `head` and gives the stream.
    ///
    /// # Errors
    ///
    /// When the head breaks the rules or limits; the stream comes with it, to be answered.
    pub fn into_request(
        self,
        scheme: Scheme,
        limits: &HeadLimits,
        rules: &PathRules,
        head: &mut RequestHead,
    ) -> (Box<Stream>, Result<(), HeadError>) {
        let Self { mut section, stream } = self;
        let read = section.read_request(scheme, limits, rules, head).map_err(HeadError::Parse);
        stream.give_section(section);
        (Box::new(stream), read)
    }
}
