//! The sample of recent requests.

use weft_message::h1::BodyFraming;
use weft_model::id::{BackendId, RouteId};
use weft_model::outcome::Reason;
use weft_model::policy::StepKind;

use super::harness::{Client, Origin, Setup, matrix, until};

#[test]
fn a_request_can_be_found_by_its_id_as_it_came() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let gateway =
            Setup::new(up, &[origin.addr]).step(StepKind::AddPrefix("/v2".into())).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let fields = [("x-request-id", "id-1"), ("authorization", "Bearer abc"), ("x-user", "7")];
        let mut call = client.begin("POST", "/cart?item=1", &fields, BodyFraming::Length(3)).await;
        call.send(b"abc").await;
        call.finish(None).await;
        assert_eq!(client.answer(call).await.status, 200);
        let samples = gateway.live.samples();
        until("the sample", || !samples.find("id-1").is_empty()).await;
        let sample = samples.find("id-1").remove(0);
        // As routing saw it, before any step.
        assert_eq!(sample.head.path_and_query(), "/cart?item=1");
        assert_eq!(sample.head.authority(), "a.example");
        assert_eq!(sample.head.method().as_str(), "POST");
        assert_eq!(sample.head.fields.get_str("x-user"), Some("7"));
        assert_eq!(sample.head.fields.get_str("authorization"), Some("(hidden)"));
        assert_eq!(sample.route, Some(RouteId::new("all")));
        assert_eq!(sample.backend, Some(BackendId::new("one")));
        assert_eq!(sample.upstream, Some(origin.addr));
        assert_eq!((sample.status, sample.reason), (200, Reason::Upstream));
        assert_eq!((sample.attempts, sample.generation.0), (1, 1));
        assert_eq!(samples.find("id-2"), []);
        assert_eq!(samples.recent().len(), 1);
    });
}

#[test]
fn requests_that_no_route_takes_are_sampled_too() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let gateway = Setup::new(up, &[origin.addr])
            .change_route(|route| route.matcher = weft_model::route::Matcher::Any(Vec::new()))
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        assert_eq!(client.get("/lost").await.status, 404);
        let samples = gateway.live.samples();
        until("the sample", || samples.recent().len() == 1).await;
        let sample = samples.recent().remove(0);
        assert_eq!((sample.route, sample.reason), (None, Reason::NoRoute));
        assert_eq!(sample.head.path(), "/lost");
    });
}
