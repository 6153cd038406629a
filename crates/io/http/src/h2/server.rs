//! The accepting side.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::Reason;
use weft_message::{HeadLimits, PathRules, RequestHead, Scheme};
use weft_runtime::time;

use crate::error::HeadError;
use crate::h2::budget::{Budget, Payload};
use crate::h2::convert;
use crate::h2::excess::Excess;
use crate::h2::meter::Meter;
use crate::h2::stream::Stream;
use crate::h2::tap::{Tap, Watch};
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
    /// Response data queued for all streams together, bytes; at least 64 KiB.
    pub queued_bytes_max: usize,
    /// Streams that the peer may reset within ten seconds.
    pub resets_max: u32,
    /// Control frames, and empty ones, that the peer may send within ten seconds, besides those that
    /// its requests and our answers account for.
    pub control_frames_max: u32,
    /// What DATA frames that nobody has read may take besides their data, bytes; with more of it the
    /// connection ends. A frame of less than 256 bytes takes what is missing to 256, so 256 times the
    /// window of a stream lets one stream fill its window with single bytes. For strangers, half the
    /// connection's window is enough.
    pub frame_overhead_bytes_max: usize,
}

/// A head over its limit is given out up to twice the limit and this much more, bytes: pseudo-fields
/// and a target of usual length do not count against the limit.
const HEAD_SLACK_BYTES: u32 = 32 << 10;

/// Response data queued for one stream, bytes: enough to keep the socket busy while other streams
/// take their turn.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// What a field takes besides its bytes, as HTTP/2 itself counts (RFC 9113 section 6.5.2).
const FIELD_OVERHEAD_BYTES: usize = 32;

/// The time over which resets are counted.
const RESET_WINDOW: Duration = Duration::from_secs(10);

/// An accepting connection. Has to be polled for anything to move on any of its streams.
pub struct Server {
    connection: h2::server::Connection<Tap, Payload>,
    watch: Rc<Watch>,
    budget: Budget,
    resets: Resets,
    excess: Option<Excess>,
    /// The peer was told to calm down.
    calmed: bool,
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
        let head_bytes_taken =
            settings.head_bytes_max.saturating_mul(2).saturating_add(HEAD_SLACK_BYTES);
        let meter = Meter::new(settings.control_frames_max, head_bytes_taken, time::now());
        let watch = Watch::new(meter);
        let connection = h2::server::Builder::new()
            .max_concurrent_streams(settings.streams_max)
            .max_header_list_size(head_bytes_taken)
            .initial_connection_window_size(settings.connection_window_bytes)
            .initial_window_size(settings.stream_window_bytes)
            .max_send_buffer_size(SEND_BUFFER_BYTES.min(settings.queued_bytes_max))
            .max_concurrent_reset_streams(settings.streams_max as usize)
            .max_pending_accept_reset_streams(settings.streams_max as usize)
            .max_local_error_reset_streams(Some(settings.resets_max as usize))
            // Empty DATA frames are bounded by the library: 100.
            .data_frame_budget(settings.frame_overhead_bytes_max)
            .handshake(Tap::new(io, watch.clone()))
            .await?;
        let budget = Budget::new(settings.queued_bytes_max);
        let resets = Resets { max: settings.resets_max, count: 0, since: None };
        Ok(Self { connection, watch, budget, resets, excess: None, calmed: false })
    }

    /// Waits for a request; moves all streams meanwhile. When the peer turns out to do too much of
    /// something it is told so and the connection ends; see [`Server::take_excess`].
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Accepted, Ended>> {
        let mut polled = self.connection.poll_accept(cx);
        if self.calm_flood() {
            polled = self.connection.poll_accept(cx);
        }
        polled.map(|accepted| match accepted {
            Some(Ok((request, respond))) => {
                let (parts, recv) = request.into_parts();
                let stream = Stream::server(recv, respond, self.budget.clone());
                Ok(Accepted { parts, stream })
            }
            Some(Err(error)) => {
                if error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
                    self.excess = self.excess.or(self.watch.complaint.get());
                }
                Err(Ended::Failed(error))
            }
            None => Err(Ended::Closed),
        })
    }

    /// Counts a stream that the peer reset before it was answered. With one too many, the connection
    /// ends.
    pub fn count_reset(&mut self, now: Instant) {
        if self.resets.add(now) {
            self.calm(Excess::Resets);
        }
    }

    /// What the peer did too much of, said once. It has been told; poll on until the connection has
    /// ended, but not for long.
    pub fn take_excess(&mut self) -> Option<Excess> {
        self.excess.take()
    }

    /// How many heads were so large that they were answered with 431 without having been given out,
    /// as far as their size could be seen on the wire; since this was last asked.
    pub fn take_heads_exceeded(&self) -> u32 {
        self.watch.meter.borrow_mut().take_sections_exceeded()
    }

    /// Whether the last frames are out or on their way. Poll on, but not for long.
    pub fn is_closing(&self) -> bool {
        self.watch.closing.get()
    }

    /// Waits no more for the peer to read what it was told last.
    pub fn give_up(&self) {
        self.watch.lingers.set(false);
    }

    /// How often streams had to wait because too much was queued, since this was last asked.
    pub fn take_queue_exhausted(&self) -> u32 {
        self.budget.take_exhausted()
    }

    /// Tells the peer to send no more requests; those under way are finished, then the connection
    /// ends.
    pub fn drain(&mut self) {
        self.watch.lingers.set(false);
        self.connection.graceful_shutdown();
    }

    /// Ends the connection at once. Poll on until it has ended, but not for long: a peer that does
    /// not read keeps the last frame from leaving.
    pub fn force(&mut self) {
        self.watch.lingers.set(false);
        self.connection.abrupt_shutdown(Reason::NO_ERROR);
    }

    /// Ends a connection that is flooded; true when that was now.
    fn calm_flood(&mut self) -> bool {
        let flooded = self.watch.flooded.get().filter(|_| !self.calmed);
        if let Some(kind) = flooded {
            self.calm(Excess::Frames(kind));
        }
        flooded.is_some()
    }

    fn calm(&mut self, excess: Excess) {
        if !std::mem::replace(&mut self.calmed, true) {
            self.excess = Some(excess);
            self.watch.lingers.set(true);
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("resets", &self.resets).finish_non_exhaustive()
    }
}

// === impl Accepted ===

impl Accepted {
    /// What the head takes in memory, bytes.
    pub fn head_bytes(&self) -> usize {
        let fields = self.parts.headers.iter();
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len());
        let path = self.parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
        fields.map(|bytes| bytes + FIELD_OVERHEAD_BYTES).sum::<usize>() + path
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
