//! Steps that ask who calls.

use std::sync::Arc;
use std::time::Duration;

use weft_message::FieldName;
use weft_message::h1::BodyFraming;
use weft_model::id::BackendId;
use weft_model::policy::{BasicAuth, ForwardAuth, LocalRateLimit, StepKind};
use weft_model::route::{Failover, Target};
use weft_resilience::settings::RateSettings;

use super::choices::only;
use super::harness::{
    Client, Http, Origin, Setup, backend, backend_target, reply, reply_with, run_bounded,
};

/// `ann` and `bob`, both with the password `secret`.
const ANN: (&str, &str) = ("authorization", "Basic YW5uOnNlY3JldA==");
const BOB: (&str, &str) = ("authorization", "Basic Ym9iOnNlY3JldA==");

/// Asks an authorizer whether a request may pass; it says who asks in `x-user`, if it knows.
fn authorizer(path: &str) -> ForwardAuth {
    ForwardAuth {
        backend: BackendId::new("auth"),
        host: "auth.example".into(),
        path: path.into(),
        trust_forward_header: false,
        request_headers: Vec::new(),
        response_headers: Vec::new(),
        response_headers_pattern: None,
        add_cookies: vec![path.trim_start_matches('/').into()],
        forward_body: false,
        body_bytes_max: None,
        answer_bytes_max: None,
        header: Some(FieldName::new("x-user").expect("valid")),
        preserve_location: false,
        preserve_method: false,
    }
}

#[test]
fn each_authorizer_of_a_choice_sets_its_own_cookies() {
    run_bounded(async {
        let origin = Origin::echo(Http::One).await;
        let auth = Origin::start(Http::One, |begun| async move {
            let cookie = format!("{}=1", begun.head.path().trim_start_matches('/'));
            reply_with(begun.leg, 200, &[("set-cookie", &cookie)], b"").await
        })
        .await;
        let steps =
            ["/first", "/second"].map(|path| StepKind::ForwardAuth(authorizer(path).into()));
        let gateway = Setup::new(Http::One, &[origin.addr])
            .backend(backend("auth", Http::One, &[auth.addr]))
            .change_route(|route| route.target = only(backend_target("one"), steps))
            .start()
            .await;
        let answer = Client::connect(Http::One, gateway.addr).await.get("/").await;
        let mut cookies: Vec<&[u8]> = answer.fields.get_all("set-cookie").collect();
        cookies.sort_unstable();
        assert_eq!(cookies, [b"first=1".as_slice(), b"second=1"]);
    });
}

/// One request for each user.
fn one_for_each() -> StepKind {
    let each = RateSettings { average: 1, period: Duration::from_secs(3_600), burst: 1 };
    let limit = LocalRateLimit { total: None, identity: Some(each), overrides: Vec::new() };
    StepKind::LocalRateLimit(Box::new(limit))
}

fn passwords() -> StepKind {
    let hash = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
    StepKind::BasicAuth(BasicAuth {
        users: ["ann", "bob"].map(|user| (user.into(), hash.into())).into(),
        realm: "test".into(),
        header: None,
        remove_header: true,
    })
}

#[test]
fn an_authorizer_that_names_nobody_leaves_the_user_who_he_is() {
    run_bounded(async {
        let origin = Origin::echo(Http::One).await;
        // Asked there, it names everybody the same.
        let auth = Origin::start(Http::One, |begun| async move {
            match begun.head.path() {
                "/named" => reply_with(begun.leg, 200, &[("x-user", "carol")], b"").await,
                _ => reply(begun.leg, 200, b"").await,
            }
        })
        .await;
        for (path, of_another) in [("/unnamed", 200), ("/named", 429)] {
            let gateway = Setup::new(Http::One, &[origin.addr])
                .backend(backend("auth", Http::One, &[auth.addr]))
                .step(passwords())
                .step(StepKind::ForwardAuth(authorizer(path).into()))
                .step(one_for_each())
                .start()
                .await;
            let mut client = Client::connect(Http::One, gateway.addr).await;
            for (user, status) in [(ANN, 200), (BOB, of_another), (ANN, 429)] {
                let call = client.begin("GET", "/", &[user], BodyFraming::None).await;
                assert_eq!(client.answer(call).await.status, status, "{user:?} {path}");
            }
        }
    });
}

#[test]
fn who_a_client_is_to_the_first_target_is_not_known_to_the_second() {
    run_bounded(async {
        let origin = Origin::echo(Http::One).await;
        let gone = Origin::start(Http::One, |_| async { None }).await;
        let target = Target::Failover(Arc::new(Failover {
            main: only(backend_target("one"), [passwords()]),
            fallback: only(backend_target("two"), [one_for_each()]),
            statuses: Vec::new(),
            body_bytes_max: 0,
        }));
        let gateway = Setup::new(Http::One, &[gone.addr])
            .backend(backend("two", Http::One, &[origin.addr]))
            .change_route(|route| route.target = target)
            .start()
            .await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        for (user, status) in [(ANN, 200), (BOB, 429)] {
            let call = client.begin("GET", "/", &[user], BodyFraming::None).await;
            assert_eq!(client.answer(call).await.status, status, "{user:?}");
        }
        assert_eq!(gone.requests().len(), 2);
    });
}
