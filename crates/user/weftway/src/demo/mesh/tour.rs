//! What the demo's mesh does, shows and checks.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_runtime::time;

use super::service::Counts;
use super::{LEDGER, Mesh, PAYMENTS, SECOND_PORT, SHOP, STOCK, Sample};
use crate::args::SampleProtocol;
use crate::demo::gateway::Addresses;
use crate::demo::process::Plan;
use crate::demo::tour::check;
use crate::print_line;

/// Who calls whom.
const CALLS: [(&Sample, &Sample); 5] = [
    (&SHOP, &PAYMENTS),
    (&PAYMENTS, &LEDGER),
    (&SHOP, &STOCK),
    (&LEDGER, &PAYMENTS),
    (&STOCK, &SHOP),
];

/// Who the gateway is.
const GATEWAY: &str = "spiffe://cluster.local/ns/weftway-system/sa/weftway-gateway";

/// The number of SIGKILL, as the node takes it.
const KILL: i32 = 9;

/// How often is looked whether something has come about ...
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// ... and for how long.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);

/// How many call payments at one time while one of its instances is killed.
const CALLERS: usize = 4;

/// The calls that are waited for before and after something is done to those who answer them.
const CALLS_MIN: u64 = 50;

/// A rotation has ended by then.
const ROTATION_TIMEOUT: Duration = Duration::from_secs(20);

/// Goes through everything; gives how many answers were wrong.
pub(super) async fn walk(mesh: &mut Mesh, gateway: &Addresses) -> anyhow::Result<u32> {
    print_line("");
    let mut failed = 0;
    for (from, to) in CALLS {
        failed += call(mesh, from, to).await?;
    }
    failed += from_outside(gateway).await?;
    if !mesh.is_loopback {
        failed += plaintext(mesh).await?;
    }
    failed += kill(mesh).await?;
    failed += rotate(mesh).await?;
    Ok(failed)
}

/// One service calls another one, which says who has called.
async fn call(mesh: &mut Mesh, from: &Sample, to: &Sample) -> anyhow::Result<u32> {
    let title = format!("{} calls {} over {}", from.name, to.name, spoken(to.protocol));
    let answer = match mesh.service(from)?.call(to).await {
        Ok(answer) => answer,
        Err(error) => return Ok(check(&title, false, &format!("{error:#}"))),
    };
    let workload = answer["workload"].as_str().unwrap_or("nobody");
    let is_whom = workload == format!("default/{}", to.name);
    let identity = format!("spiffe://cluster.local/ns/default/sa/{}", from.name);
    let caller = answer["caller"].as_str();
    let is_known = to.protocol == SampleProtocol::Tcp || caller == Some(&*identity);
    let text = match caller {
        Some(caller) => format!("{workload} was called by {caller}"),
        None => format!("{workload} has answered; bytes have no header to say who calls"),
    };
    Ok(check(&title, is_whom && is_known, &text))
}

/// What comes from outside comes through the gateway, which is somebody in the mesh.
async fn from_outside(gateway: &Addresses) -> anyhow::Result<u32> {
    let web = gateway.listener("web")?;
    let started = time::now();
    let answer = loop {
        let answer = crate::demo::client::get(web, "/payments", &[]).await?;
        // It may have heard of the service, and not yet of its instance.
        if answer.status == 200 || time::now() - started > POLL_TIMEOUT {
            break answer;
        }
        time::sleep(POLL_INTERVAL).await;
    };
    let said: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let caller = said["caller"].as_str().unwrap_or("nobody");
    let text = match said["workload"].as_str() {
        Some(workload) => format!("{workload} was called by {caller}"),
        None => format!("{} {}", answer.status, answer.body.trim()),
    };
    let title = "The gateway leads a caller from outside to payments, as itself";
    Ok(check(title, caller == GATEWAY, &text))
}

/// Who is not in the mesh has no identity, and STRICT wants one.
async fn plaintext(mesh: &mut Mesh) -> anyhow::Result<u32> {
    let addr = (mesh.service(&PAYMENTS)?.registered().addrs.v4, PAYMENTS.port).into();
    let answer = crate::demo::client::get(addr, "/", &[]).await;
    let (is_refused, text) = match answer {
        Ok(answer) => (answer.status >= 400, format!("{} {}", answer.status, answer.body.trim())),
        Err(error) => (true, format!("{error:#}")),
    };
    Ok(check(
        "From outside of the mesh, in plaintext, payments is not to be had",
        is_refused,
        &text,
    ))
}

/// A second instance comes, the first one is killed, and nothing is lost but what it was doing.
async fn kill(mesh: &mut Mesh) -> anyhow::Result<u32> {
    for _ in 0..CALLERS {
        mesh.service(&SHOP)?.load(&PAYMENTS).await?;
    }
    mesh.add(&PAYMENTS, SECOND_PORT).await?;
    let both = |counts: &[Counts]| counts.iter().all(|one| one.by.len() == 2);
    let shared = until(mesh, both).await?;
    let first = mesh.service(&PAYMENTS)?.registered().name.clone();
    mesh.client().await?.signal(first, KILL).await?;
    let went_on = go_on(mesh).await?;
    let counts = mesh.service(&SHOP)?.unload().await?;
    let right = shared && went_on && counts.iter().all(is_in_hand);
    let title = "payments is killed in the middle of calls, and its second instance takes over";
    // Whoever asks for payments from now on gets the one that lives.
    mesh.services.retain(|service| service.workload() != "default/payments");
    Ok(check(title, right, &summary(&counts)))
}

/// Everybody gets a new root of trust and new certificates.
async fn rotate(mesh: &mut Mesh) -> anyhow::Result<u32> {
    for to in [&PAYMENTS, &LEDGER, &STOCK] {
        mesh.service(&SHOP)?.load(to).await?;
    }
    let all = |counts: &[Counts]| counts.iter().all(|one| one.answered() >= CALLS_MIN);
    let before = until(mesh, all).await?;
    let log = mesh.folder.join("rotation.log");
    let rotation = Plan::new("certs")?.arg("rotate").arg("--state").arg(mesh.state());
    let rotated = rotation.start(&log)?.output(ROTATION_TIMEOUT).await;
    let after = go_on(mesh).await?;
    let counts = mesh.service(&SHOP)?.unload().await?;
    let text = match &rotated {
        Ok(said) => format!("{}\n    {}", said.trim().replace('\n', "\n    "), summary(&counts)),
        Err(error) => format!("{error:#}"),
    };
    let right = rotated.is_ok() && before && after && is_clean(&counts);
    Ok(check("The root of trust is replaced in the middle of calls", right, &text))
}

/// Waits until each load of the shop was answered again and again from now on.
async fn go_on(mesh: &mut Mesh) -> anyhow::Result<bool> {
    let counts = mesh.service(&SHOP)?.counts().await?;
    let least: Vec<u64> = counts.iter().map(|one| one.answered() + CALLS_MIN).collect();
    let is_so =
        |counts: &[Counts]| counts.iter().zip(&least).all(|(one, least)| one.answered() >= *least);
    until(mesh, is_so).await
}

/// Waits until what the shop has counted is so; `false` when that takes too long.
async fn until(mesh: &mut Mesh, is_so: impl Fn(&[Counts]) -> bool) -> anyhow::Result<bool> {
    let started = time::now();
    while time::now() - started < POLL_TIMEOUT {
        let counts = mesh.service(&SHOP)?.counts().await?;
        if is_so(&counts) {
            return Ok(true);
        }
        time::sleep(POLL_INTERVAL).await;
    }
    Ok(false)
}

/// Whether nothing of a load has failed but the one call that the killed service had in its hands: it
/// may have been done, so nobody makes it again.
fn is_in_hand(counts: &Counts) -> bool {
    let is_lost = |error: &String| error.contains("the service closed the connection");
    counts.failed == 0 || (counts.failed == 1 && counts.error.as_ref().is_some_and(is_lost))
}

fn is_clean(counts: &[Counts]) -> bool {
    counts.iter().all(|one| one.failed == 0)
}

fn summary(counts: &[Counts]) -> String {
    let mut by: BTreeMap<&str, u64> = BTreeMap::new();
    for (workload, count) in counts.iter().flat_map(|one| &one.by) {
        *by.entry(workload).or_default() += count;
    }
    let by: Vec<String> = by.iter().map(|(workload, n)| format!("{n} by {workload}")).collect();
    let failed: u64 = counts.iter().map(|one| one.failed).sum();
    let error = counts.iter().find_map(|one| one.error.as_deref());
    let error = error.map(|error| format!("; the first one: {error}")).unwrap_or_default();
    format!("calls answered: {}; failed: {failed}{error}", by.join(", "))
}

fn spoken(protocol: SampleProtocol) -> &'static str {
    match protocol {
        SampleProtocol::Http => "HTTP/1.1",
        SampleProtocol::Grpc => "gRPC",
        SampleProtocol::Tcp => "TCP, where the server speaks first",
    }
}
