use std::time::Duration;

use tokio_rustls::TlsConnector;
use tonic::Code;
use weft_authority::{KeyRequest, Secret};
use weft_link::{Connect as _, Endpoint};
use weft_model::id::WorkloadName;
use weft_runtime::time;
use weft_tls::mesh::{MeshTls, Offer};
use weft_wire::certificate::{
    ROOTS_PATH, RootsRequest, RootsResponse, SIGN_PATH, SignRequest, SignResponse,
};

use crate::harness::{Harness, Proxy, Raw, control_identity, identity, run, until};
use weft_controlplane::{Attested, Keeper, Limits, Opened};

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
fn a_proxy_that_was_away_for_longer_than_its_certificate_comes_back_by_itself() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        let first = proxy.link.credentials().borrow().clone().unwrap();
        // Its token is used up, its certificate holds for an hour.
        proxy.way.close();
        time::sleep(Duration::from_secs(2 * 3600)).await;
        proxy.way.open();
        let credentials = proxy.link.credentials();
        until("renewed", || credentials.borrow().as_ref().unwrap().chain != first.chain).await;
        harness.publish(2, NONE);
        proxy.has(2).await;
    });
}

#[test]
fn a_certificate_that_has_ended_is_of_use_after_a_restart_until_its_workload_has_ended() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let folder = tempfile::tempdir().unwrap();
        let (proxy, settings) = harness.kept_proxy("one", folder.path()).await;
        let while_away = Duration::from_secs(2 * 3600);
        let again = || {
            let way = harness.way();
            let endpoint = Endpoint::other(way.clone(), Some(harness.peer(None)));
            Proxy::start(weft_link::Settings { endpoint, ..settings.clone() }, way)
        };
        proxy.kill();
        time::sleep(while_away).await;
        let proxy = again();
        until("ready", || proxy.readiness.is_ready()).await;
        until("connected", || proxy.link.status().borrow().is_connected).await;
        proxy.kill();
        time::sleep(while_away).await;
        // Whoever has started it says that nobody will come back with it.
        harness.plane().forget(&settings.workload);
        let proxy = again();
        until("refused", || proxy.last_error().contains("join with a token")).await;
        assert!(!proxy.readiness.is_ready(), "nobody is ready with a certificate that has ended");
    });
}

#[test]
fn who_shows_a_certificate_that_has_ended_gets_another_one_and_nothing_else() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        let credentials = proxy.link.credentials().borrow().clone().unwrap();
        proxy.kill();
        time::sleep(Duration::from_secs(2 * 3600)).await;
        let tls = MeshTls::build_with_clock(&credentials, harness.clock.provider()).unwrap();
        let config = tls.client_config(&[control_identity()], Offer::Tunnels);
        let io = harness.way().connect().await.unwrap();
        let name = "127.0.0.1".try_into().unwrap();
        let raw = Raw::over(TlsConnector::from(config).connect(name, io).await.unwrap()).await;
        let (requests, mut responses) =
            raw.stream::<RootsRequest, RootsResponse>(ROOTS_PATH).await.unwrap();
        let (workload, identity) = ("shop/one-1".into(), identity("one").to_string());
        requests.send(RootsRequest { workload, identity, ..Default::default() }).await.unwrap();
        let refused = responses.message().await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains("its certificate has ended"), "{refused}");
    });
}

#[test]
fn a_proxy_that_comes_back_after_a_rotation_renews_before_it_is_ready() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let folder = tempfile::tempdir().unwrap();
        let (proxy, settings) = harness.kept_proxy("one", folder.path()).await;
        let first = proxy.link.credentials().borrow().clone().unwrap();
        let workload = settings.workload.clone();
        proxy.kill();
        // Whoever has started it says that it has ended, so nobody waits for it.
        let plane = harness.plane();
        plane.forget(&workload);
        plane.prepare(None).await.unwrap();
        plane.switch().await.unwrap();

        let way = harness.socket_of("one");
        let endpoint = Endpoint::other(way.clone(), None);
        let proxy = Proxy::start(weft_link::Settings { endpoint, ..settings }, way);
        until("ready", || proxy.readiness.is_ready()).await;
        let second = proxy.link.credentials().borrow().clone().unwrap();
        assert!(second.chain != first.chain, "it is ready with the certificate that was kept");
        let root = plane.rotation().signing().root().certificate().fingerprint();
        let reports = plane.registry().reports();
        assert!(reports.iter().any(|it| it.leaf.as_ref().is_some_and(|leaf| leaf.root == root)));
    });
}

#[test]
fn a_control_plane_that_says_nothing_does_not_hold_up_a_proxy_that_has_a_certificate() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let folder = tempfile::tempdir().unwrap();
        let (proxy, settings) = harness.kept_proxy("one", folder.path()).await;
        let first = proxy.link.credentials().borrow().clone().unwrap();
        proxy.kill();
        let way = harness.way();
        way.hang();
        let endpoint = Endpoint::other(way.clone(), Some(harness.peer(None)));
        let start = time::now();
        let proxy = Proxy::start(weft_link::Settings { endpoint, ..settings }, way);
        until("ready", || proxy.readiness.is_ready()).await;
        let waited = time::now() - start;
        let fresh = weft_link::Times::DEFAULT.fresh;
        assert!((fresh..fresh + Duration::from_millis(100)).contains(&waited), "{waited:?}");
        let second = proxy.link.credentials().borrow().clone().unwrap();
        assert_eq!(second.chain, first.chain);
    });
}

#[test]
fn a_proxy_that_has_a_successor_leaves_the_renewal_to_it() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let proxy = harness.proxy("one").await;
        proxy.has(1).await;
        let credentials = proxy.link.credentials();
        let first = credentials.borrow().clone().unwrap();
        proxy.link.succeeded();
        time::sleep(Duration::from_secs(3500)).await;
        assert_eq!(credentials.borrow().as_ref().unwrap().chain, first.chain);
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
fn nobody_is_the_control_plane() {
    run(async || {
        let harness = Harness::new(NONE).await;
        let plane = harness.plane();
        let scope = control_identity().into();
        let token = plane.create_token(scope, Duration::from_secs(3600)).await.unwrap();
        let way = harness.way();
        let endpoint = Endpoint::other(way.clone(), Some(harness.peer(Some(token.as_str()))));
        let settings = weft_link::Settings {
            workload: WorkloadName::new("weftway-system/one-1"),
            identity: control_identity(),
            ..harness.settings_at("one", endpoint)
        };
        let proxy = Proxy::start(settings, way);
        until("refused", || proxy.last_error().contains("and nobody else")).await;

        // Not even where the system says so.
        let workload = WorkloadName::new("weftway-system/one-1");
        let who = Attested { workload, identity: control_identity() };
        let raw = Raw::over(harness.pipe(Some(who)).unwrap()).await;
        let (requests, mut roots) =
            raw.stream::<RootsRequest, RootsResponse>(ROOTS_PATH).await.unwrap();
        requests.send(RootsRequest::default()).await.unwrap();
        assert_eq!(roots.message().await.unwrap_err().code(), Code::PermissionDenied);
    });
}

#[test]
fn what_the_authority_has_done_is_there_after_a_restart() {
    run(async || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority");
        let secret = Secret::key_file(&[7; 32]).unwrap();
        let clock = Harness::new(NONE).await.clock.clone();
        let open = async || match Keeper::open(&path, &secret).await? {
            Opened::Missing(vacancy) => vacancy.fill(crate::harness::authority(&clock)).await,
            Opened::Found(keeper) => Ok(*keeper),
        };
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
        Keeper::open(&path, &wrong).await.unwrap_err();
    });
}
