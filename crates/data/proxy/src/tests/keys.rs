//! What keeps requests together on one endpoint.

use weft_message::FieldName;
use weft_message::h1::BodyFraming;
use weft_model::calling::HashKey;
use weft_model::route::Cookie;
use weft_resilience::settings::{MaglevSettings, PickerKind};

use super::harness::{Answer, Client, Gateway, Http, Origin, Setup, run};

const ENDPOINTS: usize = 5;

async fn origins() -> Vec<Origin> {
    let mut origins = Vec::new();
    for _ in 0..ENDPOINTS {
        origins.push(Origin::echo(Http::One).await);
    }
    origins
}

async fn start(origins: &[Origin], key: HashKey) -> Gateway {
    let addrs: Vec<_> = origins.iter().map(|origin| origin.addr).collect();
    let setup = Setup::new(Http::One, &addrs).calling(|calling| {
        calling.picker =
            PickerKind::Maglev(MaglevSettings { size: 251, ..MaglevSettings::DEFAULT });
        calling.key = key;
    });
    setup.start().await
}

async fn call(gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut client = Client::connect(Http::One, gateway.addr).await;
    let call = client.begin("GET", path, fields, BodyFraming::None).await;
    client.answer(call).await
}

/// How many endpoints were asked since.
fn asked(origins: &[Origin], before: &[usize]) -> usize {
    origins.iter().zip(before).filter(|(origin, before)| origin.requests().len() > **before).count()
}

fn counts(origins: &[Origin]) -> Vec<usize> {
    origins.iter().map(|origin| origin.requests().len()).collect()
}

/// Requests with one value go to one endpoint, and those of many values to many.
async fn check(key: HashKey, request: impl Fn(usize) -> (String, Vec<(&'static str, String)>)) {
    let origins = origins().await;
    let gateway = start(&origins, key).await;
    let send = async |value: usize| {
        let (path, fields) = request(value);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(call(&gateway, &path, &fields).await.status, 200);
    };
    for value in 0..3 {
        let before = counts(&origins);
        for _ in 0..4 {
            send(value).await;
        }
        assert_eq!(asked(&origins, &before), 1, "{value}");
    }
    let before = counts(&origins);
    for value in 0..30 {
        send(value).await;
    }
    assert!(asked(&origins, &before) >= 3);
}

#[test]
fn a_header_keeps_requests_together() {
    run(check(HashKey::Header(FieldName::new("x-user").unwrap()), |value| {
        ("/".into(), vec![("x-user", value.to_string())])
    }));
}

#[test]
fn a_query_parameter_keeps_requests_together() {
    run(check(HashKey::Query("user".into()), |value| (format!("/?a=1&user={value}"), vec![])));
}

fn cookie() -> Cookie {
    Cookie {
        name: "cart".into(),
        path: "/".into(),
        domain: "".into(),
        http_only: true,
        secure: false,
        same_site: "".into(),
        max_age_secs: 3_600,
    }
}

#[test]
fn a_cookie_keeps_requests_together() {
    run(check(HashKey::Cookie(cookie()), |value| {
        ("/".into(), vec![("cookie", format!("other=1; cart=c{value}"))])
    }));
}

#[test]
fn a_client_without_the_cookie_is_given_one_and_stays_where_it_was() {
    run(async {
        let origins = origins().await;
        let gateway = start(&origins, HashKey::Cookie(cookie())).await;
        for _ in 0..5 {
            let before = counts(&origins);
            let answer = call(&gateway, "/", &[]).await;
            let given = answer.fields.get_str("set-cookie").expect("it is given one").to_owned();
            assert!(given.contains("Max-Age=3600") && given.contains("Path=/"), "{given}");
            let (pair, _) = given.split_once(';').expect("attributes");
            for _ in 0..3 {
                let answer = call(&gateway, "/", &[("cookie", pair)]).await;
                assert_eq!(answer.fields.get("set-cookie"), None, "it has one");
            }
            assert_eq!(asked(&origins, &before), 1);
        }
    });
}
