//! The accepting side.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use weft_message::{HeadLimits, PathRules, RequestHead, Scheme};

use crate::error::HeadError;
use crate::h2::convert;
use crate::h2::stream::Stream;
use crate::io::Io;

/// Bounds of one connection.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Streams at one time.
    pub streams_max: u32,
    /// Head of one request, bytes as HTTP/2 counts them (32 per field added).
    pub head_bytes_max: u32,
    /// Window of the connection, bytes.
    pub connection_window_bytes: u32,
    /// Window of one stream, bytes.
    pub stream_window_bytes: u32,
    /// Response data queued for one stream, bytes.
    pub send_buffer_bytes: usize,
    /// Streams that the peer may reset within ten seconds.
    pub resets_max: u32,
}

/// The time over which resets are counted.
const RESET_WINDOW: Duration = Duration::from_secs(10);

/// An accepting connection. Has to be polled for anything to move on any of its streams.
pub struct Server {
    connection: h2::server::Connection<Io, Bytes>,
    resets: Resets,
}

/// A request.
pub struct Accepted {
    parts: http::request::Parts,
    stream: Stream,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum Ended {
    /// In order.
    Closed,
    /// The peer reset too many streams.
    TooManyResets,
    /// The connection broke, or the peer broke the protocol.
    Failed(h2::Error),
}

#[derive(Debug)]
struct Resets {
    max: u32,
    count: u32,
    since: Option<Instant>,
}

// === impl Server ===

impl Server {
    /// Exchanges settings.
    ///
    /// # Errors
    ///
    /// When the connection breaks or the peer does not speak HTTP/2.
    pub async fn handshake(io: Io, settings: &ServerSettings) -> Result<Self, h2::Error> {
        let connection = h2::server::Builder::new()
            .max_concurrent_streams(settings.streams_max)
            .max_header_list_size(settings.head_bytes_max)
            .initial_connection_window_size(settings.connection_window_bytes)
            .initial_window_size(settings.stream_window_bytes)
            .max_send_buffer_size(settings.send_buffer_bytes)
            .max_concurrent_reset_streams(settings.streams_max as usize)
            .max_pending_accept_reset_streams(settings.streams_max as usize)
            .max_local_error_reset_streams(Some(settings.resets_max as usize))
            // Small DATA frames are bounded by the library: their overhead by half the connection's
            // window, empty ones by 100.
            .handshake(io)
            .await?;
        let resets = Resets { max: settings.resets_max, count: 0, since: None };
        Ok(Self { connection, resets })
    }

    /// Waits for a request; moves all streams meanwhile.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Accepted, Ended>> {
        let accepted = match ready!(self.connection.poll_accept(cx)) {
            Some(Ok((request, respond))) => {
                let (parts, recv) = request.into_parts();
                Ok(Accepted { parts, stream: Stream::server(recv, respond) })
            }
            Some(Err(error)) => Err(Ended::Failed(error)),
            None => Err(Ended::Closed),
        };
        Poll::Ready(accepted)
    }

    /// Counts a stream that the peer reset before it was answered. True when that was one too
    /// many: the peer has then been told so, and the connection ends once it was polled on.
    pub fn count_reset(&mut self, now: Instant) -> bool {
        let exceeded = self.resets.add(now);
        if exceeded {
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
        exceeded
    }

    /// Tells the peer to send no more requests; those under way are finished, then the connection
    /// ends.
    pub fn drain(&mut self) {
        self.connection.graceful_shutdown();
    }

    /// Ends the connection at once.
    pub fn force(&mut self) {
        self.connection.abrupt_shutdown(Reason::NO_ERROR);
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("resets", &self.resets).finish_non_exhaustive()
    }
}

// === impl Accepted ===

impl Accepted {
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
        let result = convert::request(&self.parts, scheme, limits, rules, head);
        (Box::new(self.stream), result)
    }
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accepted").field("parts", &self.parts).finish_non_exhaustive()
    }
}

// === impl Resets ===

impl Resets {
    fn add(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) > RESET_WINDOW {
            self.since = Some(now);
            self.count = 0;
        }
        self.count += 1;
        self.count > self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_counted_per_window() {
        let start = weft_runtime::time::now();
        let mut resets = Resets { max: 2, count: 0, since: None };
        assert!(!resets.add(start));
        assert!(!resets.add(start));
        assert!(resets.add(start + RESET_WINDOW));
        assert!(!resets.add(start + RESET_WINDOW * 2 + Duration::from_millis(1)));
    }
}
