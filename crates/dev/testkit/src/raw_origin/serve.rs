//! Connections of an origin.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustls::{ServerConnection, StreamOwned};

use super::exchange::{Exchange, Next};
use super::{ConnectionLog, RawRequest, Shared, lock};
use crate::raw_client::find;
use crate::response::fields;
use crate::stream::Stream;
use crate::wait::DEADLINE;

/// A connection while it is served.
pub(super) struct Conn {
    pub(super) stream: Stream,
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    /// Read and not yet used.
    pub(super) buffer: Vec<u8>,
    pub(super) peer_closed: bool,
}

pub(super) fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    for tcp in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(tcp) = tcp else { continue };
        let shared = shared.clone();
        std::thread::spawn(move || serve(tcp, &shared));
    }
}

fn serve(tcp: TcpStream, shared: &Arc<Shared>) {
    let _ = tcp.set_nodelay(true);
    let Ok(copy) = tcp.try_clone() else { return };
    let index = shared.update(|log| {
        log.sockets.push(Some(copy));
        log.connections.push(ConnectionLog::default());
        log.connections.len() - 1
    });
    let Some(stream) = open(tcp, shared, index) else {
        return shared.ended(index, false);
    };
    let mut conn =
        Conn { stream, index, shared: shared.clone(), buffer: Vec::new(), peer_closed: false };
    let next = serve_requests(&mut conn).unwrap_or(Next::Close);
    if next == Next::Reset {
        conn.stream.reset();
        // The system resets when the last handle is gone.
        shared.update(|log| log.sockets[index] = None);
        let peer_closed = conn.peer_closed;
        drop(conn);
        return shared.ended(index, peer_closed);
    }
    let _ = conn.stream.shutdown_write();
    shared.ended(index, conn.peer_closed);
    // Closing with unread bytes would reset, and take the answer away from the peer.
    while conn.stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
    shared.update(|log| log.sockets[index] = None);
}

fn open(tcp: TcpStream, shared: &Arc<Shared>, index: usize) -> Option<Stream> {
    let Some(config) = &shared.tls else { return Some(Stream::Plain(tcp)) };
    let session = ServerConnection::new(config.clone()).ok()?;
    let mut stream = StreamOwned::new(session, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).ok()?;
    }
    let server_name = stream.conn.server_name().map(ToOwned::to_owned);
    let has_client_certificate = stream.conn.peer_certificates().is_some();
    shared.update(|log| {
        log.connections[index].server_name = server_name;
        log.connections[index].has_client_certificate = has_client_certificate;
    });
    Some(Stream::Server(Box::new(stream)))
}

/// Serves requests until the connection ends; says how it is to be closed.
fn serve_requests(conn: &mut Conn) -> io::Result<Next> {
    loop {
        if let Some(idle) = conn.shared.idle_close {
            conn.stream.set_read_timeout(idle);
        }
        let head = loop {
            if let Some(at) = find(&conn.buffer, b"\r\n\r\n") {
                break conn.buffer.drain(..at + 4).collect::<Vec<u8>>();
            }
            if conn.fill()? == 0 {
                return Ok(Next::Close);
            }
            conn.stream.set_read_timeout(DEADLINE);
        };
        conn.stream.set_read_timeout(DEADLINE);
        let request = parse(head, conn.index);
        let path = request.target.split('?').next().unwrap_or_default().to_owned();
        let number = conn.shared.update(|log| {
            log.requests.push(request.clone());
            log.requests.len() - 1
        });
        let script = lock(&conn.shared.scripts).get(&path).cloned();
        let mut exchange = Exchange::new(conn, request, number);
        let next = match script {
            Some(script) => script(&mut exchange)?,
            None => exchange.echo()?,
        };
        if next != Next::KeepAlive {
            return Ok(next);
        }
        exchange.read_body()?;
    }
}

fn parse(head: Vec<u8>, connection: usize) -> RawRequest {
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ').map(ToOwned::to_owned);
    let (method, target, version) = (words.next(), words.next(), words.next());
    RawRequest {
        connection,
        method: method.unwrap_or_default(),
        target: target.unwrap_or_default(),
        version: version.unwrap_or_default(),
        headers: fields(lines),
        head,
        ..RawRequest::default()
    }
}

// === impl Conn ===

impl Conn {
    /// Reads more; 0 at the end.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 << 10];
        let result = self.stream.read(&mut chunk);
        let count = match result {
            Ok(0) => {
                self.peer_closed = true;
                0
            }
            Ok(count) => count,
            Err(error) => {
                self.peer_closed |= error.kind() == io::ErrorKind::ConnectionReset;
                return Err(error);
            }
        };
        self.buffer.extend_from_slice(&chunk[..count]);
        self.shared.update(|log| {
            log.connections[self.index].bytes.extend_from_slice(&chunk[..count]);
        });
        Ok(count)
    }
}

// === impl Shared ===

impl Shared {
    fn ended(&self, index: usize, by_peer: bool) {
        self.update(|log| {
            log.connections[index].is_closed = true;
            log.connections[index].closed_by_peer = by_peer;
        });
    }
}
