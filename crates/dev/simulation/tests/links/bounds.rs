use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;
use weft_runtime::time;
use weft_wire::certificate::{ROOTS_PATH, RootsRequest, RootsResponse};
use weft_wire::discovery::{DELTA_PATH, DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use crate::harness::{Harness, Raw, attested, authority, run};
use weft_controlplane::{Keeper, Limits};

const NONE: &[(&str, u16)] = &[];

/// What a proxy that behaves gets, whatever others do.
async fn still_serves(harness: &std::rc::Rc<Harness>) {
    harness.proxy("one").await.has(1).await;
}

#[test]
fn bytes_that_make_no_sense_end_their_connection_alone() {
    run(async || {
        let harness = Harness::new(NONE).await;
        for who in [None, Some(attested("one"))] {
            let mut pipe = harness.pipe(who).unwrap();
            pipe.write_all(&[0xa5; 4096]).await.unwrap();
            let mut rest = Vec::new();
            let ended = pipe.read_to_end(&mut rest).await;
            assert!(ended.is_ok() || ended.unwrap_err().kind() == ErrorKind::BrokenPipe);
        }
        still_serves(&harness).await;
    });
}

#[test]
fn who_says_nothing_is_sent_away() {
    run(async || {
        let harness = Harness::new(NONE).await;
        // Before the handshake of TLS, and before the first request.
        for who in [None, Some(attested("one"))] {
            let mut pipe = harness.pipe(who).unwrap();
            let start = time::now();
            pipe.read_to_end(&mut Vec::new()).await.unwrap();
            assert_eq!((time::now() - start).as_secs(), 10);
        }

        let raw = Raw::connect(&harness, "one").await;
        let (_requests, mut responses) =
            raw.stream::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(DELTA_PATH).await.unwrap();
        let refused = responses.message().await.unwrap_err();
        assert_eq!(refused.code(), Code::DeadlineExceeded);
    });
}

#[test]
fn messages_that_make_no_sense_end_their_stream_alone() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let raw = Raw::connect(&harness, "one").await;
        let bad = [
            DeltaDiscoveryRequest::default(),
            DeltaDiscoveryRequest { type_url: "x".repeat(5 << 20), ..Default::default() },
        ];
        for request in bad {
            let (requests, mut responses) = raw
                .stream::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(DELTA_PATH)
                .await
                .unwrap();
            requests.send(request).await.unwrap();
            let refused = responses.message().await.unwrap_err().code();
            assert!(
                matches!(
                    refused,
                    Code::FailedPrecondition | Code::OutOfRange | Code::ResourceExhausted
                ),
                "{refused}"
            );
        }
        let bad = [
            RootsRequest { own: vec![1; 3], ..Default::default() },
            RootsRequest { trusted: vec![vec![0; 32]; 1000], ..Default::default() },
        ];
        for request in bad {
            let (requests, mut responses) =
                raw.stream::<RootsRequest, RootsResponse>(ROOTS_PATH).await.unwrap();
            requests.send(request).await.unwrap();
            let refused = responses.message().await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
        }
        let unknown = raw.stream::<RootsRequest, RootsResponse>("/no/such").await.unwrap_err();
        assert_eq!(unknown.code(), Code::Unimplemented);
        still_serves(&harness).await;
    });
}

#[test]
fn there_are_no_more_connections_than_allowed() {
    run(async || {
        let clock = Harness::new(NONE).await.clock.clone();
        let keeper = Keeper::in_memory(authority(&clock));
        let limits = Limits { connections: 1, ..Limits::DEFAULT };
        let harness = Harness::with(NONE, clock, keeper, limits).await;
        let first = Raw::connect(&harness, "one").await;
        let (_requests, _responses) =
            first.stream::<RootsRequest, RootsResponse>(ROOTS_PATH).await.unwrap();
        let mut second = harness.pipe(Some(attested("two"))).unwrap();
        assert_eq!(second.read(&mut [0; 1]).await.unwrap(), 0, "closed at once");
        drop((first, _requests, _responses));
        time::sleep(Duration::from_secs(1)).await;
        still_serves_one(&harness).await;
    });
}

async fn still_serves_one(harness: &std::rc::Rc<Harness>) {
    let raw = Raw::connect(harness, "one").await;
    raw.stream::<RootsRequest, RootsResponse>(ROOTS_PATH).await.unwrap();
}
