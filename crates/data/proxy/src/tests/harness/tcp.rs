//! Applications that do not speak HTTP.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weft_runtime::task::{self, Task};

/// A server that perhaps speaks first, and echoes.
pub(in crate::tests) struct TcpApp {
    pub(in crate::tests) addr: SocketAddr,
    connections: Rc<Cell<usize>>,
    seen: Rc<RefCell<Vec<u8>>>,
    accepting: Task<()>,
}

// === impl TcpApp ===

impl TcpApp {
    /// Greets, then echoes.
    pub(in crate::tests) async fn start(greeting: &'static str) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), greeting).await
    }

    pub(in crate::tests) async fn start_at(addr: SocketAddr, greeting: &'static str) -> Self {
        let listener = TcpListener::bind(addr).await.expect("the port is free");
        let addr = listener.local_addr().expect("it is bound");
        let connections = Rc::new(Cell::new(0));
        let seen = Rc::new(RefCell::default());
        let (count, see) = (connections.clone(), seen.clone());
        let accepting = task::spawn("tcp-app", async move {
            loop {
                let (stream, _) = listener.accept().await.expect("it accepts");
                count.set(count.get() + 1);
                task::spawn("tcp-app", echo(stream, greeting, see.clone()));
            }
        });
        Self { addr, connections, seen, accepting }
    }

    /// Connections so far.
    pub(in crate::tests) fn connections(&self) -> usize {
        self.connections.get()
    }

    /// What all clients have sent so far.
    pub(in crate::tests) fn seen(&self) -> Vec<u8> {
        self.seen.borrow().clone()
    }

    /// Accepts no more, and lets its port go.
    pub(in crate::tests) async fn stop(self) -> SocketAddr {
        self.accepting.abort();
        let _ = self.accepting.await;
        self.addr
    }
}

async fn echo(mut stream: TcpStream, greeting: &str, seen: Rc<RefCell<Vec<u8>>>) {
    let mut buffer = [0; 4 << 10];
    if stream.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        seen.borrow_mut().extend_from_slice(&buffer[..count]);
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Reads so many bytes, as text.
pub(in crate::tests) async fn read_exactly(stream: &mut TcpStream, count: usize) -> String {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.expect("as many bytes come");
    String::from_utf8(bytes).expect("text")
}

/// Whether the connection ends as a broken one does, without having said anything.
pub(in crate::tests) async fn is_reset(stream: &mut TcpStream) -> bool {
    let ended = stream.read(&mut [0; 1]).await;
    ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}
