//! What the demo does, shows and checks.

use std::path::Path;

use weft_load::{Options, Trust};
use weft_runtime::task;

use super::client::{self, Answer};
use super::gateway::Addresses;
use crate::print_line;

/// One stop of the tour.
struct Stop {
    title: &'static str,
    listener: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    status: u16,
    /// Somewhere in the head, in lower case, or in the body.
    contains: &'static str,
}

const STOPS: [Stop; 6] = [
    Stop {
        title: "An IngressRoute sends /api/v1/hello to the service greeter",
        listener: "web",
        path: "/api/v1/hello",
        headers: &[],
        status: 200,
        contains: "hello from greeter\n",
    },
    Stop {
        title: "A headers middleware marks the answer",
        listener: "web",
        path: "/api/v1/hello?again",
        headers: &[],
        status: 200,
        contains: "x-served-by: weftway",
    },
    Stop {
        title: "A path that no route takes is not found",
        listener: "web",
        path: "/nowhere",
        headers: &[],
        status: 404,
        contains: "404 page not found",
    },
    Stop {
        title: "An HTTPRoute of the Gateway API picks version 2 by header",
        listener: "gateway/",
        path: "/canary",
        headers: &[("x-version", "2")],
        status: 200,
        contains: "hello from greeter-v2\n",
    },
    Stop {
        title: "A corner behind a password refuses strangers",
        listener: "web",
        path: "/private",
        headers: &[],
        status: 401,
        contains: "www-authenticate: basic",
    },
    Stop {
        title: "and lets those in who know it, its prefix stripped",
        listener: "web",
        path: "/private/door",
        headers: &[("Authorization", "Basic ZGVtbzpkZW1v")],
        status: 200,
        contains: "path /door\n",
    },
];

/// A path that could be read in two ways, as an attacker would send it.
const AMBIGUOUS: &str = "/api/v1/hello/..%2fadmin";

/// Walks through all stops; gives how many answers were wrong.
pub(super) async fn walk(addresses: &Addresses) -> anyhow::Result<u32> {
    let mut failed = 0;
    for stop in &STOPS {
        let answer =
            client::get(addresses.listener(stop.listener)?, stop.path, stop.headers).await?;
        let right = answer.status == stop.status
            && (answer.head.contains(stop.contains) || answer.body.contains(stop.contains));
        failed += show(stop.title, right, &answer);
    }
    let web = addresses.listener("web")?;
    let answer = client::get(web, AMBIGUOUS, &[]).await?;
    failed +=
        show("An ambiguous path is refused before anything sees it", answer.status == 400, &answer);
    failed += tls(addresses).await?;
    let answer = client::get(addresses.admin, "/metrics", &[]).await?;
    let counted = answer.body.contains("weftway_requests_total{route=");
    failed +=
        check("Every request is in the metrics", counted, "see /metrics of the admin endpoint");
    Ok(failed)
}

async fn tls(addresses: &Addresses) -> anyhow::Result<u32> {
    let url = format!("https://{}/api/v1/hello", addresses.listener("websecure")?);
    let options =
        Options { connections: 1, requests: Some(20), trust: Trust::Insecure, ..Options::new(url) };
    let load = task::blocking(move || weft_load::run(&options, |_| {})).await;
    let report = load.map_err(|task::Ended| anyhow::anyhow!("the load generator failed"))??;
    let text = format!("20 requests, median {:.2} ms", report.latencies.p50);
    Ok(check("The same route over TLS, twenty times", report.is_clean(), &text))
}

fn show(title: &str, right: bool, answer: &Answer) -> u32 {
    let first = answer.body.lines().next().unwrap_or_default();
    check(title, right, &format!("{} {first}", answer.status))
}

pub(super) fn check(title: &str, right: bool, result: &str) -> u32 {
    print_line(&format!("{} {title}\n    {result}", if right { "ok  " } else { "FAIL" }));
    u32::from(!right)
}

/// Lines to paste.
pub(super) fn what_next(addresses: &Addresses, folder: &Path) {
    let web = addresses.listener("web").map_or_else(|_| "-".into(), |addr| addr.to_string());
    let gateway =
        addresses.listener("gateway/").map_or_else(|_| "-".into(), |addr| addr.to_string());
    let tls = addresses.listener("websecure").map_or_else(|_| "-".into(), |addr| addr.to_string());
    let admin = addresses.admin;
    let folder = folder.display();
    print_line(&format!(
        "\nTry next:\n\
         \x20 curl -i http://{web}/api/v1/hello\n\
         \x20 curl -ik https://{tls}/api/v1/hello\n\
         \x20 curl -i -H 'x-version: 2' http://{gateway}/canary\n\
         \x20 curl -i -u demo:demo http://{web}/private\n\
         \x20 curl -s http://{admin}/metrics | grep weftway_requests\n\
         \x20 weftway bench http://{web}/api/v1/hello -c 50 -z 5s\n\
         Edit a file in {folder} and send a request again: the change is in force at once."
    ));
}
