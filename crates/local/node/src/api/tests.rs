use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;

use serde_json::{Value, json};
use tokio::net::UnixStream;

use super::channel::{Channel, ChannelError};
use super::*;

/// What a test sends by itself, and the channel that receives it.
fn raw() -> (std::os::unix::net::UnixStream, Channel) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    theirs.set_nonblocking(true).expect("an option");
    let theirs = UnixStream::from_std(theirs).expect("it does not block");
    (ours, Channel::new(theirs))
}

fn frame(message: &Value) -> Vec<u8> {
    let body = message.to_string();
    [&(body.len() as u32).to_be_bytes(), body.as_bytes()].concat()
}

fn block_on<F: Future>(test: F) -> F::Output {
    weft_runtime::worker::block_on(test).expect("a runtime")
}

/// What is received after these bytes.
fn receive(bytes: &[u8]) -> Result<Option<Request>, ChannelError> {
    block_on(async {
        let (mut ours, mut channel) = raw();
        ours.write_all(bytes).expect("there is room");
        drop(ours);
        channel.receive().await
    })
}

#[test]
fn the_form_of_a_request_stays() {
    let run = json!({
        "version": 1,
        "message": { "run": {
            "name": "shop/payments",
            "application": { "argv": ["./payments"], "env": [["A", "b"]], "cwd": "/srv", "umask": 18 },
            "something_newer": true,
        }},
    });
    let received = receive(&frame(&run)).expect("a request").expect("one");
    let expected = Request::Run(Box::new(Run {
        name: "shop/payments".parse().expect("a name"),
        service_account: None,
        labels: BTreeMap::new(),
        ports: Vec::new(),
        exclusions: Exclusions::default(),
        application: Application {
            argv: vec!["./payments".into()],
            env: vec![("A".into(), "b".into())],
            cwd: "/srv".into(),
            umask: 0o022,
        },
        user: None,
        grace_ms: None,
        detach: false,
    }));
    assert_eq!(received, expected);
    let others = [
        (json!("list"), Request::List),
        (
            json!({ "stop": { "workload": "default/a" } }),
            Request::Stop { workload: "a".parse().expect("a name") },
        ),
        (
            json!({ "signal": { "workload": "default/a", "signal": 15 } }),
            Request::Signal { workload: "a".parse().expect("a name"), signal: 15 },
        ),
    ];
    for (message, expected) in others {
        let received = receive(&frame(&json!({ "version": 1, "message": message })));
        assert_eq!(received.expect("a request"), Some(expected));
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let other = frame(&json!({ "version": 2, "message": { "whatever": 1 } }));
    assert!(matches!(receive(&other), Err(ChannelError::Version(2))));
    let unknown = frame(&json!({ "version": 1, "message": { "whatever": 1 } }));
    assert!(matches!(receive(&unknown), Err(ChannelError::Form(_))));
    assert!(matches!(receive(&[0, 0, 0, 2, b'n', b'o']), Err(ChannelError::Form(_))));
    assert!(matches!(receive(&[0, 16, 0, 1]), Err(ChannelError::Length(1_048_577))));
    assert!(matches!(receive(&[0, 0, 0, 9, b'{']), Err(ChannelError::Cut)));
    assert!(matches!(receive(&[]), Ok(None)));
    let bad_name = json!({ "version": 1, "message": { "stop": { "workload": "../x" } } });
    assert!(matches!(receive(&frame(&bad_name)), Err(ChannelError::Form(_))));
}

#[test]
fn descriptors_come_with_their_message() {
    block_on(async {
        let (one, other) = UnixStream::pair().expect("a pair");
        let (mut sender, mut receiver) = (Channel::new(one), Channel::new(other));
        let pipes: Vec<_> = (0..3).map(|_| std::io::pipe().expect("a pipe")).collect();
        let writers: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
        sender.send(&Request::List, &writers).await.expect("there is room");
        assert_eq!(receiver.receive::<Request>().await.expect("it came"), Some(Request::List));
        let arrived = receiver.take_descriptors();
        assert_eq!(arrived.len(), 3);
        for (index, descriptor) in arrived.into_iter().enumerate() {
            write!(std::fs::File::from(descriptor), "{index}").expect("it is a pipe");
        }
        for (index, (mut reader, writer)) in pipes.into_iter().enumerate() {
            drop(writer);
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("all ends are closed");
            assert_eq!(text, index.to_string());
        }
        assert_eq!(receiver.take_descriptors().len(), 0);
    });
}

#[test]
fn descriptors_that_nobody_takes_do_not_add_up() {
    block_on(async {
        let (one, other) = UnixStream::pair().expect("a pair");
        let (mut sender, mut receiver) = (Channel::new(one), Channel::new(other));
        let (_reader, writer) = std::io::pipe().expect("a pipe");
        for _ in 0..5 {
            sender.send(&Request::List, &[writer.as_fd(); 3]).await.expect("there is room");
            receiver.receive::<Request>().await.expect("it came");
        }
        assert_eq!(receiver.take_descriptors().len(), 3);
    });
}
