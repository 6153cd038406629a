//! A TLS connection as a byte stream.

mod outbox;
mod session;

use std::cell::OnceCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustls::{HandshakeKind, ProtocolVersion};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weft_net::Stream;
use weft_net::buffer::{BULK_BYTES, Inbox};

use crate::certificate;
use crate::names::suite_name;
use outbox::Outbox;
pub(crate) use session::Session;
use session::{Act, Step};

/// Bytes of plaintext in one record (RFC 8446 section 5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;

/// Ample for what one record adds: header, nonce, content type and tag (29 with TLS 1.2, 22 with
/// TLS 1.3).
const RECORD_OVERHEAD_BYTES: usize = 40;

/// Room for a key update that goes out together with data.
const CONTROL_BYTES: usize = 128;

/// Plaintext sealed at once: what fits one bulk buffer as four records.
const WRITE_BYTES_MAX: usize = BULK_BYTES - 4 * RECORD_OVERHEAD_BYTES - CONTROL_BYTES;

/// A TLS connection after its handshake.
///
/// Reading decrypts from a buffer of the worker's pool straight into the caller's; writing seals
/// into one. While nothing is in flight the stream owns neither: an idle connection costs its keys
/// and state, some 4 KB.
///
/// Small writes are worth gathering: [`AsyncWrite::poll_write_vectored`] puts many slices into one
/// record. Written bytes may stay here when the socket is full, so flush at the end of a message.
/// The end of the stream is the peer's `close_notify`; a connection that ends without it gives
/// [`io::ErrorKind::UnexpectedEof`], because something may have been cut off (RFC 8446 section
/// 6.1).
#[derive(Debug)]
pub struct TlsStream<S> {
    io: S,
    session: Session,
    inbox: Inbox,
    plain: Plain,
    outbox: Outbox,
    server_name: Option<Box<str>>,
    verifies_peer: bool,
    /// The session has seen all of the inbox; what is left of it is part of a record.
    drained: bool,
    read_closed: bool,
    write_closed: bool,
    failed: bool,
    /// Where somebody wants to read later why the session failed.
    note: Option<Rc<OnceCell<rustls::Error>>>,
}

/// What a handshake established about the connection and the peer.
#[derive(Debug, Clone, Copy)]
pub struct PeerFacts<'a> {
    /// The server name asked for (SNI), lower case.
    pub server_name: Option<&'a str>,
    /// The protocol agreed on by ALPN.
    pub alpn: Option<&'a [u8]>,
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// IANA name of the cipher suite.
    pub cipher_suite: &'static str,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The peer's certificates, leaf first; empty when it showed none.
    pub certificates: &'a [CertificateDer<'static>],
    /// Whether they were verified against authorities. False when there are none.
    pub verified: bool,
}

// === impl PeerFacts ===

impl PeerFacts<'_> {
    /// What a peer whose certificate was verified is told apart by: the first URI in it (a SPIFFE ID,
    /// say), else the first DNS name, else its hash.
    pub fn peer_name(&self) -> Option<Box<str>> {
        self.certificates.first().filter(|_| self.verified).map(certificate::owner)
    }
}

/// Why a handshake did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    Io(io::Error),
    Closed,
    Tls(rustls::Error),
}

/// Decrypted bytes that the reader had no room for.
#[derive(Debug, Default)]
struct Plain {
    bytes: Vec<u8>,
    start: usize,
}

// === impl TlsStream ===

impl<S: Stream> TlsStream<S> {
    /// A stream before its handshake; `inbox` may hold its first bytes.
    pub(crate) fn new(
        io: S,
        session: Session,
        inbox: Inbox,
        server_name: Option<Box<str>>,
        verifies_peer: bool,
    ) -> Self {
        let outbox = Outbox::new(inbox.pool());
        Self {
            io,
            session,
            inbox,
            plain: Plain::default(),
            outbox,
            server_name,
            verifies_peer,
            drained: false,
            read_closed: false,
            write_closed: false,
            failed: false,
            note: None,
        }
    }

    /// Notes there why the session fails, if it does: whoever reads may keep only the kind of an
    /// error.
    pub(crate) fn note_failure(&mut self, note: Rc<OnceCell<rustls::Error>>) {
        self.note = Some(note);
    }

    /// What the handshake established.
    pub fn facts(&self) -> PeerFacts<'_> {
        let common = self.session.common();
        let certificates = common.peer_certificates().unwrap_or_default();
        PeerFacts {
            server_name: self.server_name.as_deref(),
            alpn: common.alpn_protocol(),
            version: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher_suite: common
                .negotiated_cipher_suite()
                .map_or("unknown", |suite| suite_name(suite.suite())),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            certificates,
            verified: self.verifies_peer && !certificates.is_empty(),
        }
    }

    /// Drives the handshake to its end. The error says whether TLS or the connection failed.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let step = match self.step(Act::Advance) {
                Ok(step) => step,
                Err(error) => {
                    // The alert says why; whether it can be sent does not matter any more.
                    let _ = self.poll_send(cx);
                    return Poll::Ready(Err(Failure::Tls(error)));
                }
            };
            match step {
                Step::Again | Step::Encoded | Step::Plaintext | Step::Written => {}
                Step::Ready if !self.session.common().is_handshaking() => {
                    // Only a session ticket is left to send: it goes out with the first answer, or
                    // when the first read has to wait. In TLS 1.2 it is the end of the handshake.
                    let version = self.session.common().protocol_version();
                    if self.session.is_server() && version == Some(ProtocolVersion::TLSv1_3) {
                        return Poll::Ready(Ok(()));
                    }
                    return self.poll_send(cx).map_err(Failure::Io);
                }
                Step::Ready | Step::NeedMore => {
                    ready!(self.poll_send(cx)).map_err(Failure::Io)?;
                    if ready!(self.poll_receive(cx)).map_err(Failure::Io)? == 0 {
                        return Poll::Ready(Err(Failure::Closed));
                    }
                }
                Step::PeerClosed | Step::Closed => return Poll::Ready(Err(Failure::Closed)),
            }
        }
    }

    /// One turn of the session over the received bytes; plaintext goes to `plain`.
    fn step(&mut self, act: Act<'_>) -> Result<Step, rustls::Error> {
        let Self { session, inbox, plain, outbox, .. } = self;
        let result = session.step(inbox, outbox, act, &mut |bytes| plain.push(bytes));
        self.settle(result)
    }

    /// Notes the end or the failure of the session.
    fn settle(&mut self, result: Result<Step, rustls::Error>) -> Result<Step, rustls::Error> {
        match &result {
            Ok(Step::PeerClosed | Step::Closed) => self.read_closed = true,
            Ok(Step::Ready | Step::NeedMore | Step::Written) => self.drained = true,
            Ok(Step::Again | Step::Encoded | Step::Plaintext) => {}
            Err(error) => {
                self.failed = true;
                if let Some(note) = &self.note {
                    // Only the first failure says why.
                    let _ = note.set(error.clone());
                }
                let Self { session, inbox, outbox, .. } = self;
                session.collect_alert(inbox, outbox);
            }
        }
        result
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(self.inbox.poll_fill(cx, &mut self.io))?;
        self.drained = false;
        Poll::Ready(Ok(count))
    }

    /// Whether the session has something to do with what was received.
    fn has_received(&self) -> bool {
        !self.drained && !self.inbox.is_empty() && !self.read_closed && !self.failed
    }

    /// Decrypts one record, if one is there in full, into `target` as far as it has room.
    fn open_record(&mut self, target: &mut ReadBuf<'_>) -> Result<Step, rustls::Error> {
        let Self { session, inbox, plain, outbox, .. } = self;
        let result = session.step(inbox, outbox, Act::Advance, &mut |bytes| {
            // Order: what did not fit before comes before what comes now.
            let count = if plain.is_empty() { bytes.len().min(target.remaining()) } else { 0 };
            target.put_slice(&bytes[..count]);
            plain.push(&bytes[count..]);
        });
        self.settle(result)
    }

    /// Seals as much of the slices as one bulk buffer holds, small slices gathered into records.
    fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let target = total.min(WRITE_BYTES_MAX);
        let records = target.div_ceil(RECORD_BYTES_MAX).max(1);
        self.outbox.reserve(target + records * RECORD_OVERHEAD_BYTES + CONTROL_BYTES);
        let mut sealed = 0;
        let mut slices = slices.iter().map(|slice| &slice[..]).filter(|slice| !slice.is_empty());
        let mut current: &[u8] = &[];
        let mut staging = None;
        while sealed < target {
            if current.is_empty() {
                current = slices.next().unwrap_or_default();
            }
            let left = target - sealed;
            // Whole records, or the rest, straight from the caller's memory.
            let direct = if current.len() >= left {
                left
            } else {
                current.len() / RECORD_BYTES_MAX * RECORD_BYTES_MAX
            };
            if direct > 0 {
                self.seal_record(&current[..direct])?;
                current = &current[direct..];
                sealed += direct;
                continue;
            }
            let staging = staging.get_or_insert_with(|| self.inbox.pool().small());
            let wanted = left.min(RECORD_BYTES_MAX);
            let mut gathered = 0;
            while gathered < wanted {
                if current.is_empty() {
                    current = slices.next().unwrap_or_default();
                }
                let count = current.len().min(wanted - gathered);
                staging[gathered..gathered + count].copy_from_slice(&current[..count]);
                current = &current[count..];
                gathered += count;
            }
            self.seal_record(&staging[..wanted])?;
            sealed += wanted;
        }
        Ok(sealed)
    }

    fn seal_record(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.step(Act::Encrypt(bytes)).map_err(broken)? {
                Step::Written => return Ok(()),
                Step::Again | Step::Encoded | Step::Plaintext | Step::PeerClosed => {}
                Step::Ready | Step::NeedMore | Step::Closed => {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
    }

    /// Sends what is sealed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_send(cx, &mut self.io)
    }

    /// Sends control records and tickets when a reader has to wait anyway. A writer that waits for
    /// the socket keeps its waker: it will send them itself.
    fn send_in_passing(&mut self, cx: &mut Context<'_>) {
        if !self.outbox.is_empty() && !self.outbox.is_blocked() {
            // A failure shows at the next write.
            let _ = self.poll_send(cx);
        }
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.write_closed || self.failed {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(())
        }
    }

    fn poll_write_slices(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_writable()?;
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        // What waits for the socket goes first; tickets and control records, which only wait for
        // company, go along.
        if self.outbox.is_blocked() || self.outbox.len() > CONTROL_BYTES * 8 {
            ready!(self.poll_send(cx))?;
        }
        let sealed = self.seal(slices)?;
        match self.poll_send(cx)? {
            Poll::Ready(()) | Poll::Pending => Poll::Ready(Ok(sealed)),
        }
    }
}

impl<S: Stream> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if target.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let filled_before = target.filled().len();
        loop {
            this.plain.pop(target);
            let room = target.remaining() > 0;
            // Everything that is here already comes with this read: one call, several records.
            if room && this.has_received() {
                match this.open_record(target) {
                    Ok(_) => continue,
                    Err(error) if target.filled().len() == filled_before => {
                        this.send_in_passing(cx);
                        return Poll::Ready(Err(broken(error)));
                    }
                    // The bytes before the failure count; the failure shows at the next read.
                    Err(_) => {}
                }
            }
            if target.filled().len() > filled_before || this.read_closed {
                return Poll::Ready(Ok(()));
            }
            if this.failed {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            match this.poll_receive(cx)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(_) => {}
                Poll::Pending => {
                    this.send_in_passing(cx);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<S: Stream> AsyncWrite for TlsStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    /// Sends `close_notify` after the last byte, then ends our direction of the connection.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.write_closed && !this.failed {
            match this.step(Act::Close).map_err(broken)? {
                Step::Written | Step::Closed => this.write_closed = true,
                Step::Again | Step::Encoded | Step::Plaintext | Step::PeerClosed => {}
                Step::Ready | Step::NeedMore => break,
            }
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let something = !self.plain.is_empty() || self.read_closed || self.failed;
        if something || self.has_received() {
            return Poll::Ready(Ok(()));
        }
        let polled = self.io.poll_read_ready(cx);
        if polled.is_pending() {
            self.send_in_passing(cx);
        }
        polled
    }
}

// === impl Plain ===

impl Plain {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn pop(&mut self, target: &mut ReadBuf<'_>) {
        let waiting = &self.bytes[self.start..];
        let count = waiting.len().min(target.remaining());
        target.put_slice(&waiting[..count]);
        self.start += count;
        if self.start == self.bytes.len() {
            // Gives the memory back too.
            *self = Self::default();
        }
    }
}

// === functions ===

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
