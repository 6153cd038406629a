//! An HTTP/1.1 client that sends exactly what it is given.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::response::{Response, fields};
use crate::stream::{Stream, TlsDial, dial_tls};
use crate::wait::DEADLINE;

/// A connection to whatever is tested. Reads and writes wait for at most [`DEADLINE`].
#[derive(Debug)]
pub struct RawClient {
    stream: Stream,
    /// Read and not yet used.
    buffer: Vec<u8>,
}

/// Field names and values.
type Pairs = Vec<(String, String)>;

// === impl RawClient ===

impl RawClient {
    /// A plain connection.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"))
    }

    /// A plain connection, or why not.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(addr)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(DEADLINE))?;
        tcp.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { stream: Stream::Plain(tcp), buffer: Vec::new() })
    }

    /// A TLS connection.
    ///
    /// # Panics
    ///
    /// When the connection or the handshake fails.
    pub fn connect_tls(addr: SocketAddr, dial: &TlsDial) -> Self {
        Self::try_connect_tls(addr, dial)
            .unwrap_or_else(|error| panic!("no TLS with {addr}: {error}"))
    }

    /// A TLS connection, or why not.
    ///
    /// # Errors
    ///
    /// When the connection or the handshake fails.
    pub fn try_connect_tls(addr: SocketAddr, dial: &TlsDial) -> io::Result<Self> {
        let stream = dial_tls(addr, dial)?;
        Ok(Self { stream: Stream::Client(Box::new(stream)), buffer: Vec::new() })
    }

    /// One GET on a connection of its own.
    pub fn get(addr: SocketAddr, host: &str, target: &str) -> Response {
        Self::connect(addr)
            .request(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    }

    /// The peer's certificate, DER, and the protocol agreed on by ALPN.
    pub fn tls_facts(&self) -> (Vec<u8>, Option<String>) {
        let Stream::Client(tls) = &self.stream else { panic!("not a TLS connection") };
        let leaf = tls.conn.peer_certificates().and_then(|chain| chain.first());
        let alpn = tls.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        (leaf.map(|leaf| leaf.to_vec()).unwrap_or_default(), alpn)
    }

    /// Our end's address.
    pub fn local_addr(&self) -> SocketAddr {
        self.stream.tcp().local_addr().unwrap()
    }

    /// Changes how long a read waits.
    pub fn set_read_timeout(&mut self, timeout: Duration) {
        self.stream.set_read_timeout(timeout);
    }

    /// Changes how long a write waits for the peer to take bytes.
    ///
    /// # Panics
    ///
    /// When the connection is gone.
    pub fn set_write_timeout(&mut self, timeout: Duration) {
        self.stream.tcp().set_write_timeout(Some(timeout)).expect("the connection is open");
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// When the connection is broken.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("the connection takes bytes");
        self
    }

    /// Sends bytes as they are, if the peer still takes them.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Sends a request and reads the response to it.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn request(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        let bytes = bytes.as_ref();
        self.send(bytes);
        if bytes.starts_with(b"HEAD ") { self.response_to_head() } else { self.response() }
    }

    /// Reads a response; interim ones are skipped and named in it.
    ///
    /// # Panics
    ///
    /// When the connection ends first or what comes is malformed.
    pub fn response(&mut self) -> Response {
        self.try_response(false).expect("a response comes").expect("the connection stays open")
    }

    /// The same, to a HEAD request.
    ///
    /// # Panics
    ///
    /// As [`RawClient::response`].
    pub fn response_to_head(&mut self) -> Response {
        self.try_response(true).expect("a response comes").expect("the connection stays open")
    }

    /// Reads only a head, interim ones included; what follows stays unread.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub fn head(&mut self) -> Response {
        let head = self.read_head().expect("a head comes").expect("the connection stays open");
        Response::of_head(head)
    }

    /// Reads a response; `None` when the connection ends before its first byte.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or ends within the response.
    pub fn try_response(&mut self, to_head: bool) -> io::Result<Option<Response>> {
        let mut interim = Vec::new();
        let mut response = loop {
            let Some(head) = self.read_head()? else { return Ok(None) };
            let response = Response::of_head(head);
            if (100..200).contains(&response.status) && response.status != 101 {
                interim.push(response.status);
                continue;
            }
            break response;
        };
        response.interim = interim;
        if to_head || matches!(response.status, 101 | 204 | 304) {
            return Ok(Some(response));
        }
        if response.is_chunked() {
            assert!(response.content_length().is_none(), "both framings: {response:?}");
            (response.body, response.trailers) = self.read_chunked()?;
        } else if let Some(length) = response.content_length() {
            response.body = self.read_exact(length)?;
        } else {
            response.body = self.read_to_end()?;
        }
        Ok(Some(response))
    }

    /// Reads one chunk; empty for the last, whose trailers stay unread.
    ///
    /// # Errors
    ///
    /// When the connection breaks or ends.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.read_until(b"\r\n")?;
        let digits = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
        let size = usize::from_str_radix(&digits, 16)
            .unwrap_or_else(|_| panic!("not a chunk size: {digits:?}"));
        let data = self.read_exact(size)?;
        if size > 0 {
            assert_eq!(self.read_exact(2)?, b"\r\n", "the end of a chunk");
        }
        Ok(data)
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    ///
    /// When the connection breaks or ends first.
    pub fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Reads up to and with `end`.
    ///
    /// # Errors
    ///
    /// When the connection breaks or ends first.
    pub fn read_until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, end) {
                return Ok(self.buffer.drain(..at + end.len()).collect());
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads until the peer closes.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or stays open beyond the deadline.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Waits for the peer to close, in order or by a reset, and gives what it sent before.
    ///
    /// # Panics
    ///
    /// When it stays open.
    pub fn closed(&mut self) -> Vec<u8> {
        match self.read_to_end() {
            Ok(rest) => rest,
            Err(error) if is_timeout(&error) => panic!("the connection stays open"),
            Err(_) => std::mem::take(&mut self.buffer),
        }
    }

    /// Waits until the answer to a request breaks off: the connection ends before it is whole.
    ///
    /// # Panics
    ///
    /// When the answer looks whole, or the connection stays open.
    pub fn breaks_off(&mut self) {
        match self.try_response(false) {
            Ok(Some(response)) => panic!("a whole answer: {response:?}"),
            Err(error) if is_timeout(&error) => panic!("the connection stays open"),
            Ok(None) | Err(_) => {}
        }
    }

    /// Whether nothing comes and nothing closes for that long.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        if !self.buffer.is_empty() {
            return false;
        }
        self.stream.set_read_timeout(time);
        let result = self.fill();
        self.stream.set_read_timeout(DEADLINE);
        matches!(result, Err(error) if is_timeout(&error))
    }

    /// Ends our direction; what the peer sends can still be read.
    ///
    /// # Panics
    ///
    /// When the connection is already broken.
    pub fn shutdown_write(&mut self) {
        self.stream.shutdown_write().expect("the connection is open");
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        self.stream.reset();
    }

    fn read_head(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.buffer.is_empty() && self.fill()? == 0 {
            return Ok(None);
        }
        self.read_until(b"\r\n\r\n").map(Some)
    }

    fn read_chunked(&mut self) -> io::Result<(Vec<u8>, Pairs)> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.read_until(b"\r\n")?;
            if line == b"\r\n" {
                return Ok((body, trailers));
            }
            let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            trailers.extend(fields(std::iter::once(&*text)));
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 << 10];
        let count = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
