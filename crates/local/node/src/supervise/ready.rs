//! Asks a proxy whether it is ready.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How often a proxy is asked: fast enough not to be noticed at a start.
const POLL: Duration = Duration::from_millis(20);

/// How long one such question may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long its connection may take. The first packet to a namespace that has just come up may be
/// lost, and TCP would repeat it after a second only.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// The longest answer, bytes. It is a status and a few words.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// Asks until the proxy at `addr` says that it is ready; with `process`, until that process says so:
/// while a proxy is upgraded, two processes answer there.
pub(super) async fn until_ready(addr: SocketAddr, process: Option<u32>) {
    loop {
        let answer = weft_runtime::time::timeout(TIMEOUT, ask(addr)).await;
        if let Ok(Ok(answer)) = answer
            && is_ready(&answer, process)
        {
            return;
        }
        weft_runtime::time::sleep(POLL).await;
    }
}

/// `GET /readyz`.
async fn ask(addr: SocketAddr) -> io::Result<Vec<u8>> {
    let connect = TcpStream::connect(addr);
    let connected = weft_runtime::time::timeout(CONNECT_TIMEOUT, connect).await;
    let mut stream = connected.map_err(|_| io::ErrorKind::TimedOut)??;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Whether that is a 200, and of that process.
fn is_ready(answer: &[u8], process: Option<u32>) -> bool {
    let status = answer.get(..12).unwrap_or_default();
    if !(status.starts_with(b"HTTP/1.") && status.ends_with(b" 200")) {
        return false;
    }
    let Some(process) = process else { return true };
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    let body = body.and_then(|at| serde_json::from_slice::<serde_json::Value>(&answer[at..]).ok());
    body.is_some_and(|body| body["process"] == process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_processes_the_one_that_is_meant_has_to_say_so() {
        let answer = |status: &str, body: &str| {
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\r\n{body}")
        };
        let is_ready = |answer: &str, process| is_ready(answer.as_bytes(), process);
        let ready = answer("200 OK", r#"{"ready":true,"pending":[],"process":7}"#);
        assert!(is_ready(&ready, None));
        assert!(is_ready(&ready, Some(7)));
        assert!(!is_ready(&ready, Some(8)));
        // A program of a version that does not say which process it is.
        assert!(!is_ready(&answer("200 OK", r#"{"ready":true,"pending":[]}"#), Some(7)));
        assert!(!is_ready(&answer("200 OK", "ok"), Some(7)));
        let busy = answer("503 Service Unavailable", r#"{"ready":false,"process":7}"#);
        assert!(!is_ready(&busy, None) && !is_ready(&busy, Some(7)));
        assert!(!is_ready("HTTP/1.1", None));
    }
}
