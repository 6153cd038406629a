//! Copies of calls between applications that nobody has declared a protocol for.

use weft_message::h1::BodyFraming;
use weft_model::id::BackendId;
use weft_model::mesh::Protocol;
use weft_model::policy::StepKind;

use super::super::harness::{Client, Http, Origin, Proxy, endpoint, run_bounded, service, until};
use super::{PAYMENTS, PAYMENTS_ADDR, authority};

/// Sends a call whose copy goes to `copy`; both speak `http`.
async fn call(http: Http, copy: &Origin, fields: &[(&str, &str)]) {
    let authority = authority();
    let app = Origin::echo(http).await;
    let mirror = StepKind::Mirror {
        parts_per_million: 1_000_000,
        backend: BackendId::new("outbound/copies"),
        compared: None,
    };
    let main = service(PAYMENTS, PAYMENTS_ADDR, Protocol::Detect, &[endpoint(app.addr, None)]);
    let copies = service("copies", "10.78.0.2:80", Protocol::Detect, &[endpoint(copy.addr, None)]);
    let proxy = Proxy::start(&authority, "cart", &[main.step(mirror), copies], &[]).await;
    let mut client = Client::over(http, proxy.dial(PAYMENTS_ADDR).await).await;
    let mut call = client.begin("POST", "/Pay/One", fields, BodyFraming::Chunked).await;
    call.send(b"message").await;
    call.finish(None).await;
    assert_eq!(client.answer(call).await.body, b"message");
    until("the copy", || copy.requests() == ["POST /Pay/One"]).await;
}

#[test]
fn copies_speak_what_the_call_spoke() {
    run_bounded(async {
        let copy = Origin::echo(Http::Two).await;
        call(Http::Two, &copy, &[("content-type", "application/grpc"), ("te", "trailers")]).await;
        assert_eq!(copy.field(0, "te").as_deref(), Some("trailers"));
        call(Http::One, &Origin::echo(Http::One).await, &[]).await;
    });
}
