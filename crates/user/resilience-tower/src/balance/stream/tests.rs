use std::collections::VecDeque;

use ::http::{HeaderValue, Request};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::balance::{BalanceSettings, Endpoints, LoadReport, Tried};
use crate::settings::{LoadReportSettings, OutlierSettings, PickerKind};
use crate::tests::{Heard, TestError, ms};

/// What a body gives, one after the other.
#[derive(Debug, Clone, Copy)]
enum Piece {
    Data,
    Trailers(&'static [(&'static str, &'static str)]),
    Broken,
}

struct Pieces(VecDeque<Piece>);

impl Body for Pieces {
    type Data = bytes::Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, &'static str>>> {
        Poll::Ready(self.0.pop_front().map(|piece| match piece {
            Piece::Data => Ok(Frame::data(bytes::Bytes::from_static(b"data"))),
            Piece::Trailers(fields) => Ok(Frame::trailers(map(fields))),
            Piece::Broken => Err("reset"),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let parse = |(name, value): &(&'static str, &'static str)| {
        (name.parse().unwrap(), HeaderValue::from_static(value))
    };
    fields.iter().map(parse).collect()
}

const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc+proto")];
const SHOUTED: &[(&str, &str)] = &[("content-type", "Application/GRPC ;x=y")];
const GRPC_WEB: &[(&str, &str)] = &[("content-type", "application/grpc-web")];
const NO_FIELDS: &[(&str, &str)] = &[];

/// An endpoint that always answers so.
#[derive(Debug, Clone, Copy)]
struct Answer {
    status: u16,
    fields: &'static [(&'static str, &'static str)],
    body: &'static [Piece],
}

type Client = tower::util::BoxCloneService<Request<()>, Response<Pieces>, TestError>;

impl Answer {
    fn client(self) -> Client {
        Client::new(service_fn(move |_: Request<()>| async move {
            let mut answer = Response::new(Pieces(self.body.iter().copied().collect()));
            *answer.status_mut() = self.status.try_into().unwrap();
            *answer.headers_mut() = map(self.fields);
            Ok(answer)
        }))
    }
}

/// Sets an endpoint aside for any failure; there is another one, which nothing is asked of.
fn watched(answer: Answer) -> Endpoints<u8, Client, HttpClassifier> {
    let outlier = OutlierSettings { consecutive: Some(1), ..OutlierSettings::ISTIO };
    let endpoints = Endpoints::http(BalanceSettings::DEFAULT.outlier(outlier));
    endpoints.insert(0, answer.client());
    endpoints.insert_at(1, answer.client(), crate::balance::Place::DEFAULT.weight(0.0));
    endpoints
}

async fn get(
    endpoints: &Endpoints<u8, Client, HttpClassifier>,
) -> Response<StreamBody<Pieces, u8>> {
    let balance = Balance::new(endpoints.clone()).streaming();
    balance.oneshot(Request::new(())).await.unwrap()
}

/// Whether the endpoint is set aside once its head is there, when its body is dropped then, and
/// when that was read.
async fn check(answer: Answer, expected: [bool; 3]) {
    let is_ejected = |endpoints: &Endpoints<_, _, _>| endpoints.ejected() == 1;
    let endpoints = watched(answer);
    let got = get(&endpoints).await;
    let by_head = is_ejected(&endpoints);
    drop(got);
    let when_dropped = is_ejected(&endpoints);
    let endpoints = watched(answer);
    let mut body = std::pin::pin!(get(&endpoints).await.into_body());
    while std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_some() {}
    let when_read = is_ejected(&endpoints);
    assert_eq!([by_head, when_dropped, when_read], expected, "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_judged_by_the_end_of_its_answer() {
    use Piece::{Broken, Data, Trailers};
    const INTERNAL: Piece = Trailers(&[("grpc-status", "13")]);
    const FINE: Piece = Trailers(&[("grpc-status", "0")]);
    const NOT_FOUND: Piece = Trailers(&[("grpc-status", "5")]);
    let answer = |status, fields, body| Answer { status, fields, body };
    // HTTP: by the head, unless the rest does not come.
    check(answer(200, NO_FIELDS, &[Data, Data]), [false, false, false]).await;
    check(answer(200, NO_FIELDS, &[Data, Broken]), [false, false, true]).await;
    check(answer(503, NO_FIELDS, &[Data]), [true, true, true]).await;
    check(answer(503, NO_FIELDS, &[]), [true, true, true]).await;
    check(answer(404, NO_FIELDS, &[Data, INTERNAL]), [false, false, false]).await;
    // gRPC: by the trailers, which have to come.
    check(answer(200, GRPC, &[Data, FINE]), [false, false, false]).await;
    check(answer(200, GRPC, &[Data, NOT_FOUND]), [false, false, false]).await;
    check(answer(200, GRPC, &[Data, INTERNAL]), [false, false, true]).await;
    check(answer(200, SHOUTED, &[Data, INTERNAL]), [false, false, true]).await;
    check(answer(200, GRPC, &[Data]), [false, false, true]).await;
    check(answer(200, GRPC, &[]), [true, true, true]).await;
    // Its status is in the body.
    check(answer(200, GRPC_WEB, &[Data]), [false, false, false]).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_counts_once() {
    let outlier = OutlierSettings { consecutive: Some(3), ..OutlierSettings::ISTIO };
    let heard = Heard::default();
    let settings = BalanceSettings::DEFAULT.outlier(outlier).picker(PickerKind::RoundRobin);
    let endpoints = Endpoints::http(settings).observed_by(heard.clone());
    let body = &[Piece::Data, Piece::Broken];
    let bad = Answer { status: 503, fields: NO_FIELDS, body };
    (0..4).for_each(|key| endpoints.insert(key, bad.client()));
    for _ in 0..8 {
        let mut body = std::pin::pin!(get(&endpoints).await.into_body());
        while std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_some() {}
    }
    // Two failures of each; were they counted twice, there would be four.
    assert_eq!(heard.events(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_counts_as_load_until_its_answer_has_ended() {
    let body = &[Piece::Data, Piece::Data];
    let endpoints = watched(Answer { status: 200, fields: NO_FIELDS, body });
    let load = || endpoints.calls(&0).unwrap();
    let (read, dropped) = (get(&endpoints).await, get(&endpoints).await);
    assert_eq!(load(), 2);
    drop(dropped);
    assert_eq!(load(), 1);
    let mut body = std::pin::pin!(read.into_body());
    while std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_some() {}
    assert_eq!(load(), 0);
}

/// How endpoints tell of their load.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Head,
    Trailers,
    Other,
    NotAtAll,
}

/// How many of two hundred calls the first of two endpoints gets, which could serve four times as
/// much as the second, after they have reported for a while.
async fn share_of_first(way: Way) -> u32 {
    const REPORTS: [&[(&str, &str)]; 2] = [
        &[("endpoint-load-metrics", "TEXT rps_fractional=100,cpu_utilization=0.2")],
        &[("endpoint-load-metrics", "TEXT rps_fractional=100,cpu_utilization=0.8")],
    ];
    const TRAILERS: [&[Piece]; 2] =
        [&[Piece::Data, Piece::Trailers(REPORTS[0])], &[Piece::Data, Piece::Trailers(REPORTS[1])]];
    let picker = PickerKind::WeightedByLoad(LoadReportSettings::DEFAULT);
    let endpoints = Endpoints::http(BalanceSettings::DEFAULT.picker(picker));
    for key in [0, 1] {
        let fields = if way == Way::Head { REPORTS[key] } else { NO_FIELDS };
        let body = if way == Way::Trailers { TRAILERS[key] } else { &[Piece::Data] };
        endpoints.insert(key, Answer { status: 200, fields, body }.client());
    }
    let balance = Balance::new(endpoints.clone()).hinted_by(HttpHints).streaming();
    let mut firsts = 0;
    for round in 0..400 {
        tokio::time::advance(ms(100)).await;
        if way == Way::Other {
            for (key, cpu_utilization) in [(0, 0.2), (1, 0.8)] {
                let requests_per_sec = 100.0;
                let load = LoadReport { requests_per_sec, cpu_utilization, ..Default::default() };
                endpoints.report(&key, &load);
            }
        }
        let mut req = Request::new(());
        let tried = req.extensions_mut().get_or_insert_default::<Tried>().clone();
        let mut body = std::pin::pin!(balance.clone().oneshot(req).await.unwrap().into_body());
        while std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await.is_some() {}
        firsts += u32::from(round >= 200 && tried.with(|ids| ids == [0]));
    }
    firsts
}

#[tokio::test(start_paused = true)]
async fn shares_follow_what_endpoints_report_in_heads_trailers_and_elsewhere() {
    assert_eq!(share_of_first(Way::NotAtAll).await, 100);
    for way in [Way::Head, Way::Trailers, Way::Other] {
        let share = share_of_first(way).await;
        assert!((155..=165).contains(&share), "{share} of 200, {way:?}");
    }
}
