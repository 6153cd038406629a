//! What another process says when it passes its sockets: no panic; without descriptors nothing is
//! received but nothing.

#![no_main]

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use weft_net::pass;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it can be built")
});

fuzz_target!(|data: &[u8]| {
    let (mut theirs, ours) = UnixStream::pair().expect("there are descriptors");
    // As much as the kernel keeps for a reader that has not come yet.
    theirs.write_all(&data[..data.len().min(64 << 10)]).expect("it fits");
    theirs.shutdown(Shutdown::Write).expect("it is open");
    ours.set_nonblocking(true).expect("it is open");
    let received = RUNTIME.block_on(async {
        let mut ours = tokio::net::UnixStream::from_std(ours).expect("it is a socket");
        pass::receive(&mut ours).await
    });
    if let Ok(received) = received {
        assert!(received.is_empty(), "descriptors out of nowhere: {received:?}");
    }
});
