use std::time::Duration;

use tonic::Code;
use weft_authority::{KeyRequest, Secret};
use weft_link::Endpoint;
use weft_runtime::time;
use weft_wire::certificate::{SIGN_PATH, SignRequest, SignResponse};

use crate::harness::{Harness, Proxy, Raw, identity, run, until};
use weft_controlplane::{Keeper, Limits};

const NONE: &[(&str, u16)] = &[];

#[test]
fn a_certificate_is_renewed_between_half_and_seven_tenths_of_its_life() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        let credentials = proxy.link.credentials();
        let first = credentials.borrow().clone().unwrap();
        assert_eq!(first.identity, identity("one"));
        let start = time::now();
        time::sleep(Duration::from_secs(1700)).await;
        assert_eq!(credentials.borrow().as_ref().unwrap().chain, first.chain, "not yet");
        until("renewed", || credentials.borrow().as_ref().unwrap().chain != first.chain).await;
        let gone = (time::now() - start).as_secs();
        // The leaf begins a minute before it is made.
        assert!((1740 - 1..=2562 + 1).contains(&gone), "renewed after {gone} s");
        let second = credentials.borrow().clone().unwrap();
        assert_ne!(second.key.secret_der(), first.key.secret_der());
        assert_eq!(proxy.link.status().borrow().attempts, 2, "one to join, one to stay");
    });
}

#[test]
fn certificates_are_renewed_when_the_control_plane_comes_back() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        let first = proxy.link.credentials().borrow().clone().unwrap();
        proxy.way.close();
        time::sleep(Duration::from_secs(3000)).await;
        proxy.way.open();
        let credentials = proxy.link.credentials();
        until("renewed", || credentials.borrow().as_ref().unwrap().chain != first.chain).await;
    });
}

#[test]
fn a_connection_ends_with_its_certificate_and_the_proxy_comes_back_with_the_next() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        time::sleep(Duration::from_secs(3700)).await;
        until("connected", || proxy.link.status().borrow().is_connected).await;
        assert_eq!(proxy.link.status().borrow().attempts, 3);
        harness.publish(2, NONE);
        proxy.has(2).await;
    });
}

#[test]
fn a_token_admits_once_and_only_whom_it_is_for() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let token = harness.token("one").await;
        let join = |name: &str| {
            let way = harness.way();
            let endpoint = Endpoint::other(way.clone(), Some(harness.peer(Some(&token))));
            Proxy::start(harness.settings_at(name, endpoint), way)
        };
        let other = join("two");
        until("refused", || other.last_error().contains("admits")).await;
        let first = join("one");
        first.has(1).await;
        let second = join("one");
        until("refused", || second.last_error().contains("has been used")).await;
        assert_eq!(second.readiness.pending(), ["certificate", "configuration"]);
    });
}

#[test]
fn without_certificate_and_token_nobody_joins() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let way = harness.way();
        let endpoint = Endpoint::other(way.clone(), Some(harness.peer(Some("weft-join-nonsense"))));
        let stranger = Proxy::start(harness.settings_at("one", endpoint), way.clone());
        until("refused", || stranger.last_error().contains("is unknown")).await;
        let endpoint = Endpoint::other(way.clone(), Some(harness.peer(None)));
        let stranger = Proxy::start(harness.settings_at("one", endpoint), way);
        until("refused", || stranger.last_error().contains("nor a join token")).await;
    });
}

#[test]
fn a_proxy_refuses_a_control_plane_of_another_mesh() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let other = Harness::new(NONE).await;
        let way = harness.way();
        let token = harness.token("one").await;
        let endpoint = Endpoint::other(way.clone(), Some(other.peer(Some(&token))));
        let proxy = Proxy::start(harness.settings_at("one", endpoint), way);
        until("refused", || proxy.last_error().contains("cannot be reached")).await;
        assert_eq!(harness.plane().registry().reports(), [], "the token went nowhere");
    });
}

#[test]
fn nobody_gets_a_certificate_for_somebody_else() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let raw = Raw::connect(&harness, "one").await;
        let key = KeyRequest::generate();
        let request = |csr: &[u8], version| SignRequest {
            csr: csr.to_vec(),
            workload: "shop/two-1".into(),
            identity: identity("two").to_string(),
            version,
        };
        let path = http::uri::PathAndQuery::from_static(SIGN_PATH);
        let ask = async |request: SignRequest| {
            let codec = tonic_prost::ProstCodec::<SignRequest, SignResponse>::new();
            let mut grpc = raw.grpc();
            grpc.ready().await.unwrap();
            grpc.unary(tonic::Request::new(request), path.clone(), codec).await
        };
        // Attested as one, whatever it claims.
        ask(request(&key.csr, 1)).await.unwrap();
        let reports = harness.plane().registry().reports();
        assert_eq!(reports[0].leaf.as_ref().unwrap().identity, identity("one"));
        let refused = ask(request(&key.csr, 0)).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let refused = ask(request(&[1; 100_000], 1)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let refused = ask(request(b"nonsense", 1)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    });
}

#[test]
fn what_the_authority_has_done_is_there_after_a_restart() {
    run(async || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority");
        let secret = Secret::key_file(&[7; 32]).unwrap();
        let clock = Harness::new(NONE).await.clock.clone();
        let open =
            async || Keeper::open(&path, &secret, || crate::harness::authority(&clock)).await;
        let keeper = open().await.unwrap();
        let harness = Harness::with(NONE, clock.clone(), keeper, Limits::DEFAULT).await;
        let token = harness.token("one").await;
        harness.plane().prepare(None).await.unwrap();
        let bundle = harness.plane().rotation().bundle().clone();
        assert_eq!(bundle.len(), 2);

        let harness =
            Harness::with(NONE, clock.clone(), open().await.unwrap(), Limits::DEFAULT).await;
        assert_eq!(*harness.plane().rotation().bundle(), bundle);
        let way = harness.way();
        let endpoint = Endpoint::other(way.clone(), Some(harness.peer(Some(&token))));
        let proxy = Proxy::start(harness.settings_at("one", endpoint), way);
        proxy.has(1).await;

        // The token was used before the certificate was given.
        let harness =
            Harness::with(NONE, clock.clone(), open().await.unwrap(), Limits::DEFAULT).await;
        let way = harness.way();
        let endpoint = Endpoint::other(way.clone(), Some(harness.peer(Some(&token))));
        let proxy = Proxy::start(harness.settings_at("one", endpoint), way);
        until("refused", || proxy.last_error().contains("has been used")).await;

        let wrong = Secret::key_file(&[8; 32]).unwrap();
        Keeper::open(&path, &wrong, || crate::harness::authority(&clock)).await.unwrap_err();
    });
}
