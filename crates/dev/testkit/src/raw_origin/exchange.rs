//! One request while a script answers it.

use std::io::{self, Write};
use std::time::Duration;

use super::serve::Conn;
use super::{Gate, RawRequest};
use crate::echo::Echo;
use crate::raw_client::find;
use crate::response::fields;

/// What happens to the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It serves the next request; what is left of this one's body is read first.
    KeepAlive,
    /// It is closed in order.
    Close,
    /// It is reset.
    Reset,
}

/// One request being answered.
pub struct Exchange<'a> {
    conn: &'a mut Conn,
    request: RawRequest,
    number: usize,
    body_is_read: bool,
}

// === impl Exchange ===

impl<'a> Exchange<'a> {
    pub(super) fn new(conn: &'a mut Conn, request: RawRequest, number: usize) -> Self {
        Self { conn, request, number, body_is_read: false }
    }

    /// The request; its body only after [`Exchange::read_body`].
    pub fn request(&self) -> &RawRequest {
        &self.request
    }

    /// How many requests came to the origin before this one.
    pub fn number(&self) -> usize {
        self.number
    }

    /// How many requests came on this connection, this one included.
    pub fn requests_on_connection(&self) -> usize {
        let index = self.conn.index;
        self.conn
            .shared
            .update(|log| log.requests.iter().filter(|request| request.connection == index).count())
    }

    /// Reads the body to its end, once.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or ends within the body.
    pub fn read_body(&mut self) -> io::Result<&RawRequest> {
        while self.read_piece()? {}
        Ok(&self.request)
    }

    /// Reads some more of the body; false at its end.
    ///
    /// # Errors
    ///
    /// As [`Exchange::read_body`].
    pub fn read_piece(&mut self) -> io::Result<bool> {
        if self.body_is_read {
            return Ok(false);
        }
        let is_chunked = self
            .request
            .headers_named("transfer-encoding")
            .any(|value| value.eq_ignore_ascii_case("chunked"));
        if is_chunked {
            self.read_chunk()?;
        } else {
            let length = self.request.header("content-length").and_then(|text| text.parse().ok());
            self.read_plain(length.unwrap_or(0))?;
        }
        let (number, request) = (self.number, &self.request);
        self.conn.shared.update(|log| {
            if let Some(known) = log.requests.get_mut(number) {
                known.add(request);
            }
        });
        Ok(!self.body_is_read)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.conn.stream.write_all(bytes.as_ref())?;
        self.conn.stream.flush()
    }

    /// Sends an answer with `Content-Length`.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub fn respond(
        &mut self,
        status: u16,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> io::Result<()> {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Status\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut answer = head.into_bytes();
        if self.request.method != "HEAD" {
            answer.extend_from_slice(body);
        }
        self.send(answer)
    }

    /// Answers with the request as JSON.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub fn echo(&mut self) -> io::Result<Next> {
        self.read_body()?;
        let body = self.to_echo().to_json();
        self.respond(200, &[("Content-Type", "application/json")], body)?;
        Ok(Next::KeepAlive)
    }

    /// The request for an echo.
    pub fn to_echo(&self) -> Echo {
        let request = &self.request;
        let headers = request.headers.iter();
        let mut echo = Echo {
            backend: self.conn.shared.name.clone(),
            method: request.method.clone(),
            target: request.target.clone(),
            version: request.version.clone(),
            host: request.header("host").unwrap_or_default().into(),
            headers: headers.filter(|(n, _)| !n.eq_ignore_ascii_case("host")).cloned().collect(),
            body_bytes: 0,
            body: None,
            trailers: request.trailers.clone(),
        };
        echo.set_body(&request.body);
        echo
    }

    /// Lets time pass.
    pub fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Waits for a gate.
    pub fn wait(&self, gate: &Gate) {
        gate.wait();
    }

    /// Switches to `protocol` and echoes bytes until the peer ends.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub fn upgrade_and_echo(&mut self, protocol: &str) -> io::Result<Next> {
        self.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        ))?;
        loop {
            let bytes = std::mem::take(&mut self.conn.buffer);
            self.send(bytes)?;
            if self.conn.fill()? == 0 {
                return Ok(Next::Close);
            }
        }
    }

    /// Waits until the peer ends the connection.
    ///
    /// # Errors
    ///
    /// When it does not within the deadline.
    pub fn wait_for_close(&mut self) -> io::Result<Next> {
        loop {
            match self.conn.fill() {
                Ok(0) => return Ok(Next::Close),
                Ok(_) => {}
                Err(_) if self.conn.peer_closed => return Ok(Next::Close),
                Err(error) => return Err(error),
            }
        }
    }

    fn read_plain(&mut self, length: usize) -> io::Result<()> {
        let missing = length - self.request.body.len();
        if missing > 0 && self.conn.buffer.is_empty() {
            self.fill()?;
        }
        let count = missing.min(self.conn.buffer.len());
        let bytes: Vec<u8> = self.conn.buffer.drain(..count).collect();
        self.request.body_raw.extend_from_slice(&bytes);
        self.request.body.extend_from_slice(&bytes);
        self.body_is_read = self.request.body.len() == length;
        Ok(())
    }

    fn read_chunk(&mut self) -> io::Result<()> {
        let line = self.take_line()?;
        let digits = String::from_utf8_lossy(&line).trim_end().to_owned();
        let size = usize::from_str_radix(&digits, 16)
            .map_err(|_| io::Error::other(format!("not a chunk size: {digits:?}")))?;
        if size > 0 {
            let data = self.take(size + 2)?;
            self.request.body.extend_from_slice(&data[..size]);
            return Ok(());
        }
        loop {
            let line = self.take_line()?;
            if line == b"\r\n" {
                self.body_is_read = true;
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.request.trailers.extend(fields(std::iter::once(&*text)));
        }
    }

    fn take_line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.conn.buffer, b"\r\n") {
                return self.take(at + 2);
            }
            self.fill()?;
        }
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.conn.buffer.len() < count {
            self.fill()?;
        }
        let bytes: Vec<u8> = self.conn.buffer.drain(..count).collect();
        self.request.body_raw.extend_from_slice(&bytes);
        Ok(bytes)
    }

    fn fill(&mut self) -> io::Result<()> {
        match self.conn.fill()? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
