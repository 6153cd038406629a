//! A TCP origin: greets with its name, then echoes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::{ServerConnection, StreamOwned};

use crate::certificates::Leaf;
use crate::raw_origin::lock;
use crate::stream::Stream;

/// A running origin. It sends its name and a line feed to every connection, then repeats each byte
/// it gets and ends when the peer does.
#[derive(Debug)]
pub struct TcpOrigin {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: AtomicBool,
    /// Bytes read, by connection, and a handle to end it.
    connections: Mutex<Vec<(Vec<u8>, TcpStream)>>,
}

// === impl TcpOrigin ===

impl TcpOrigin {
    /// Plain.
    pub fn start(name: &str) -> Self {
        Self::listen(name, None)
    }

    /// With TLS.
    pub fn start_tls(name: &str, leaf: &Leaf) -> Self {
        Self::listen(name, Some(leaf.server_config(&[], None)))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What each connection sent so far.
    pub fn received(&self) -> Vec<Vec<u8>> {
        lock(&self.shared.connections).iter().map(|(bytes, _)| bytes.clone()).collect()
    }

    fn listen(name: &str, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            name: name.into(),
            tls,
            stop: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let accepting = shared.clone();
        let thread = std::thread::spawn(move || {
            for tcp in listener.incoming() {
                if accepting.stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(tcp) = tcp else { continue };
                let shared = accepting.clone();
                std::thread::spawn(move || {
                    let _ = shared.serve(tcp);
                });
            }
        });
        Self { addr, shared, thread: Some(thread) }
    }
}

impl Drop for TcpOrigin {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for (_, tcp) in lock(&self.shared.connections).iter() {
            let _ = tcp.shutdown(Shutdown::Both);
        }
    }
}

// === impl Shared ===

impl Shared {
    fn serve(&self, tcp: TcpStream) -> std::io::Result<()> {
        tcp.set_nodelay(true)?;
        let copy = tcp.try_clone()?;
        let index = {
            let mut connections = lock(&self.connections);
            connections.push((Vec::new(), copy));
            connections.len() - 1
        };
        let mut stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some(config) => {
                let session =
                    ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
                Stream::Server(Box::new(StreamOwned::new(session, tcp)))
            }
        };
        stream.write_all(format!("{}\n", self.name).as_bytes())?;
        stream.flush()?;
        let mut chunk = [0; 4096];
        loop {
            let count = stream.read(&mut chunk)?;
            if count == 0 {
                return stream.shutdown_write();
            }
            lock(&self.connections)[index].0.extend_from_slice(&chunk[..count]);
            stream.write_all(&chunk[..count])?;
            stream.flush()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RawClient, TlsDial};

    #[test]
    fn greets_and_echoes() {
        let origin = TcpOrigin::start("one");
        let mut client = RawClient::connect(origin.addr());
        assert_eq!(client.read_until(b"\n").unwrap(), b"one\n");
        client.send("abc");
        assert_eq!(client.read_exact(3).unwrap(), b"abc");
        client.shutdown_write();
        assert!(client.closed().is_empty());
        assert_eq!(origin.received(), [b"abc".to_vec()]);
    }

    #[test]
    fn the_same_over_tls() {
        let authority = crate::Certificates::new("test");
        let origin = TcpOrigin::start_tls("two", &authority.leaf(&["a.test"]));
        let dial = TlsDial::http1("a.test", authority.roots()).alpn(&[]);
        let mut client = RawClient::connect_tls(origin.addr(), &dial);
        assert_eq!(client.read_until(b"\n").unwrap(), b"two\n");
        client.send("abc");
        assert_eq!(client.read_exact(3).unwrap(), b"abc");
    }
}
