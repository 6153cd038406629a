//! Whether the peer is still there.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_runtime::time;

use super::*;

const EVERY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(2);

/// A client that asks, and the end of its connection.
async fn asking(stream: DuplexStream) -> (Client, Task<Result<(), Error>>) {
    let made = Client::handshake(io(stream), 64 << 10, &buffers()).await;
    let (client, connection) = made.expect("the peer is there");
    (client, task::spawn("client", connection.with_pings(EVERY, PATIENCE)))
}

#[test]
fn a_peer_that_answers_is_kept_for_as_long_as_it_does() {
    run(async {
        let (ours, theirs) = duplex(1 << 16);
        let _serving = server(theirs, SETTINGS, echo);
        let (mut client, _running) = asking(ours).await;
        let mut held = begin(&mut client, &request(Method::Post, "/"), false).await;
        time::sleep(EVERY * 60).await;
        send_body(&mut held, b"whole", 10, None).await.expect("it is sent");
        read_head(&mut held).await.expect("there is an answer");
        assert_eq!(read_body(&mut held, 10).await.expect("it is read"), b"whole");
        assert!(!client.is_closed());
    });
}

#[test]
fn a_peer_that_is_gone_without_a_word_ends_the_connection_and_its_streams() {
    run(async {
        let (ours, mut theirs) = duplex(1 << 16);
        let silent = task::spawn("silent", async move {
            // Its settings, and nothing more.
            theirs.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("it is open");
            let mut heard = Vec::new();
            theirs.read_to_end(&mut heard).await.expect("memory does not fail");
            heard
        });
        let start = time::now();
        let (mut client, running) = asking(ours).await;
        let mut held = begin(&mut client, &request(Method::Get, "/"), true).await;
        let error = read_head(&mut held).await.expect_err("nobody answers");
        assert!(matches!(error, HeadError::H2(Error::Io(std::io::ErrorKind::TimedOut))), "{error}");
        assert_eq!(time::now() - start, EVERY + PATIENCE);
        assert!(client.is_closed());
        assert_eq!(running.await, Ok(Err(Error::Io(std::io::ErrorKind::TimedOut))));
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0];
        let heard = silent.await.expect("it ends");
        assert_eq!(heard.windows(9).filter(|bytes| *bytes == ping).count(), 1);
    });
}

#[test]
fn who_lets_go_of_the_client_ends_the_connection_in_order() {
    run(async {
        let (ours, theirs) = duplex(1 << 16);
        let serving = server(theirs, SETTINGS, echo);
        let (client, running) = asking(ours).await;
        drop(client);
        assert_eq!(running.await, Ok(Ok(())));
        assert!(matches!(serving.await, Ok(Ended::Closed)));
    });
}
