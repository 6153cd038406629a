//! The access log: one line a request, and one a connection that carries none, in text or JSON.
//!
//! A worker writes lines into a buffer of its own and hands full buffers to one thread, so that a
//! slow disk or terminal never holds up traffic. When that thread falls behind, lines are dropped
//! and counted, never waited for.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, UNIX_EPOCH};

use weft_message::{Known, RequestHead};
use weft_model::outcome::Reason;
use weft_runtime::metrics::{Collect, Counter, Sink};
use weft_runtime::time;

use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::request::Scope;
use crate::tcp_record::{End, TcpRecord};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `key=value`, for people.
    Text,
    /// One JSON object.
    Json,
}

/// Where lines go; shared by the workers.
#[derive(Debug, Clone)]
pub struct AccessLog {
    format: Format,
    sender: SyncSender<Vec<u8>>,
    dropped: Arc<Dropped>,
}

/// One worker's end.
#[derive(Debug)]
pub(crate) struct Writer {
    log: AccessLog,
    buffer: RefCell<String>,
}

#[derive(Debug, Default)]
struct Dropped(Counter);

/// A worker hands its buffer over when it is this full; a second passes at most otherwise.
const BUFFER_BYTES: usize = 32 << 10;

/// Buffers waiting to be written; 4 MiB.
const QUEUE_MAX: usize = 128;

// === impl AccessLog ===

impl AccessLog {
    /// A log and the end that [`write_all`] takes. Dropped lines are counted in
    /// `weftway_access_log_dropped_bytes_total`.
    pub fn new(
        format: Format,
        registry: &weft_runtime::metrics::Registry,
    ) -> (Self, Receiver<Vec<u8>>) {
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let dropped = Arc::new(Dropped::default());
        registry.register(dropped.clone());
        (Self { format, sender, dropped }, receiver)
    }
}

/// Writes what comes to `target` until all senders are gone. Runs on a thread of its own.
pub fn write_all(receiver: &Receiver<Vec<u8>>, mut target: impl std::io::Write) {
    while let Ok(bytes) = receiver.recv() {
        // A log that cannot be written must not stop traffic; the process log says so once.
        if let Err(error) = target.write_all(&bytes).and_then(|()| target.flush()) {
            tracing::error!(%error, "the access log cannot be written any more");
            return;
        }
    }
}

impl Collect for Dropped {
    fn collect(&self, sink: &mut Sink) {
        sink.counter(
            "weftway_access_log_dropped_bytes_total",
            "Bytes of access log lost because writing could not keep up.",
            &[],
            self.0.value(),
        );
    }
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(log: AccessLog) -> Self {
        Self { log, buffer: RefCell::default() }
    }

    /// Writes one request's line.
    pub(crate) fn request(
        &self,
        scope: &Scope<'_>,
        x: &Exchange,
        reason: Reason,
        duration: Duration,
    ) {
        self.write(|line| fields(line, scope, x, reason, duration));
    }

    /// Writes the line of a connection that is not HTTP.
    pub(crate) fn connection(
        &self,
        conn: &Connection,
        record: &TcpRecord,
        end: End,
        duration: Duration,
    ) {
        self.write(|line| tcp_fields(line, conn, record, end, duration));
    }

    /// Writes the line of a mirror's answer that is not as the main one was.
    pub(crate) fn comparison(
        &self,
        head: &RequestHead,
        backend: &str,
        differs: &str,
        (status, mirror_status): (u16, u16),
    ) {
        self.write(|line| {
            line.text("time", &timestamp());
            line.text("mirror", backend);
            line.text("differs", differs);
            line.text("method", head.method().as_str());
            line.text("host", head.host());
            line.text("path", head.path());
            line.number("status", u64::from(status));
            line.number("mirror_status", u64::from(mirror_status));
            if let Some(id) = head.fields.get_str(Known::XRequestId) {
                line.text("request_id", id);
            }
        });
    }

    fn write(&self, fill: impl FnOnce(&mut Line<'_>)) {
        let mut buffer = self.buffer.borrow_mut();
        let mut line = Line::new(&mut buffer, self.log.format);
        fill(&mut line);
        line.end();
        if buffer.len() >= BUFFER_BYTES {
            drop(buffer);
            self.flush();
        }
    }

    /// Hands the buffer over.
    pub(crate) fn flush(&self) {
        let bytes = std::mem::take(&mut *self.buffer.borrow_mut()).into_bytes();
        let count = bytes.len() as u64;
        if count > 0 && self.log.sender.try_send(bytes).is_err() {
            self.log.dropped.0.add_shared(count);
        }
    }
}

fn fields(
    line: &mut Line<'_>,
    scope: &Scope<'_>,
    x: &Exchange,
    reason: Reason,
    duration: Duration,
) {
    let conn = scope.conn;
    let record = &x.record;
    whose(line, conn);
    line.text("scheme", conn.scheme().as_str());
    line.text("method", x.req.method().as_str());
    line.text("host", x.req.host());
    line.text("path", x.req.path());
    line.text("version", x.req.version().as_str());
    line.number("status", u64::from(record.status));
    line.text("reason", reason.label());
    if let Some(route) = &x.route {
        line.text("route", route.route.id.as_str());
        line.text("rule", &route.route.origin.rule);
    }
    if let Some(upstream) = record.upstream {
        line.text("upstream", &upstream.to_string());
        line.number("attempts", u64::from(record.attempts));
    }
    if record.hedged {
        line.number("hedged", 1);
    }
    line.number("duration_us", duration.as_micros() as u64);
    if let (Some(sent), Some(head)) = (record.upstream_started, record.response_head) {
        line.number("upstream_us", (head - sent).as_micros() as u64);
    }
    if let (Some(started), Some(by)) = (record.started, x.decided.deadline.instant()) {
        line.number("deadline_us", by.saturating_duration_since(started).as_micros() as u64);
        let left = by.saturating_duration_since(started + duration);
        line.number("deadline_left_us", left.as_micros() as u64);
    }
    line.number("request_bytes", record.request_bytes);
    line.number("response_bytes", record.response_bytes);
    if let Some(id) = x.req.fields.get_str("x-request-id") {
        line.text("request_id", id);
    }
    if let Some(trace) = x.req.fields.get_str("traceparent") {
        line.text("traceparent", trace);
    }
    if let Some(user) = &record.user {
        line.text("user", user);
    }
    if let Some(plan) = &x.plan {
        line.number("generation", plan.shared.generation.0);
    }
    if let Some(detail) = &record.detail {
        line.text("detail", detail);
    }
}

fn tcp_fields(
    line: &mut Line<'_>,
    conn: &Connection,
    record: &TcpRecord,
    end: End,
    duration: Duration,
) {
    whose(line, conn);
    line.text("scheme", "tcp");
    line.text("destination", &conn.local.to_string());
    if let Some(host) = &record.host {
        line.text("host", host);
    }
    if let Some((outcome, took)) = record.heard {
        line.text("protocol", outcome.label());
        line.number("detection_us", took.as_micros() as u64);
    }
    line.text("reason", end.label());
    if let Some(route) = &record.route {
        line.text("route", route.as_str());
    }
    if let Some(upstream) = record.upstream {
        line.text("upstream", &upstream.to_string());
    }
    if let Some(peer) = &record.upstream_peer {
        line.text("upstream_peer", peer.identity.as_str());
    }
    line.number("duration_us", duration.as_micros() as u64);
    line.number("received_bytes", record.received_bytes);
    line.number("sent_bytes", record.sent_bytes);
    if let Some(detail) = &record.detail {
        line.text("detail", detail);
    }
}

/// Who has connected to whom.
fn whose(line: &mut Line<'_>, conn: &Connection) {
    line.text("time", &timestamp());
    line.text("client", &conn.client.to_string());
    line.text("listener", conn.listener.as_str());
    if let Some(meant) = conn.meant() {
        line.text("service", &meant.name);
        if let Some(peer) = &meant.peer {
            line.text("peer", peer.caller.identity().as_str());
        }
    }
}

/// One line being written. Values come from peers, so every byte that could end a value, a line
/// or start a terminal sequence is escaped.
struct Line<'a> {
    out: &'a mut String,
    format: Format,
    first: bool,
}

// === impl Line ===

impl<'a> Line<'a> {
    fn new(out: &'a mut String, format: Format) -> Self {
        if format == Format::Json {
            out.push('{');
        }
        Self { out, format, first: true }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        let quoted = self.format == Format::Json || !value.bytes().all(is_plain);
        if quoted {
            self.out.push('"');
            escape(value, self.out);
            self.out.push('"');
        } else {
            self.out.push_str(value);
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        // Writing to a string cannot fail.
        let _ = write!(self.out, "{value}");
    }

    fn end(self) {
        self.out.push_str(match self.format {
            Format::Text => "\n",
            Format::Json => "}\n",
        });
    }

    fn name(&mut self, name: &str) {
        let first = std::mem::replace(&mut self.first, false);
        match self.format {
            Format::Text => {
                self.out.push_str(if first { "" } else { " " });
                self.out.push_str(name);
                self.out.push('=');
            }
            Format::Json => {
                self.out.push_str(if first { "\"" } else { ",\"" });
                self.out.push_str(name);
                self.out.push_str("\":");
            }
        }
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'<' | b'>'..=b'[' | b']'..=b'~')
}

fn escape(value: &str, out: &mut String) {
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            other if other.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
            other => out.push(other),
        }
    }
}

/// RFC 3339, UTC, milliseconds.
fn timestamp() -> String {
    let since = time::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, secs) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days as i64);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        secs / 3600,
        secs / 60 % 60,
        secs % 60,
        since.subsec_millis()
    )
}

/// Days since 1970-01-01 to a date of the Gregorian calendar, by counting 400-year cycles that
/// begin in March, so that the leap day is the last of a year.
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let cycle = shifted.div_euclid(146_097);
    let day_of_cycle = shifted.rem_euclid(146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524
        - day_of_cycle / 146_096)
        / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_778, (2026, 11, 21)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date, "day {days}");
        }
    }

    fn line(format: Format, value: &str) -> String {
        let mut out = String::new();
        let mut line = Line::new(&mut out, format);
        line.text("path", value);
        line.number("status", 200);
        line.end();
        out
    }

    #[test]
    fn peers_cannot_forge_lines() {
        let hostile = "/a\nstatus=999 \"x\" \u{1b}[2J\\";
        assert_eq!(
            line(Format::Text, hostile),
            "path=\"/a\\u000astatus=999 \\\"x\\\" \\u001b[2J\\\\\" status=200\n"
        );
        assert_eq!(
            line(Format::Json, hostile),
            "{\"path\":\"/a\\u000astatus=999 \\\"x\\\" \\u001b[2J\\\\\",\"status\":200}\n"
        );
        assert_eq!(line(Format::Text, "/plain?x=1"), "path=\"/plain?x=1\" status=200\n");
        assert_eq!(line(Format::Text, "/plain"), "path=/plain status=200\n");
    }
}
