//! Memory: of idle connections, and of many routes.

use std::net::SocketAddr;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Bench, settle};
use crate::client::{Client, tls_config};
use crate::peers::{Kind, Peer, Running};
use crate::report::{Finding, Rows, Section, number};
use crate::table::Table;

const CONNECTIONS: usize = 5000;

/// Requests before the first look: code, tables and pools are in memory then.
const WARM_UP: usize = 200;

pub(super) fn idle_plain(bench: &Bench) -> anyhow::Result<Section> {
    idle(bench, "idle", false)
}

pub(super) fn idle_tls(bench: &Bench) -> anyhow::Result<Section> {
    idle(bench, "idle-tls", true)
}

fn idle(bench: &Bench, case: &'static str, is_tls: bool) -> anyhow::Result<Section> {
    allow_many_descriptors()?;
    let count = if bench.is_quick { CONNECTIONS / 10 } else { CONNECTIONS };
    let mut rows = Rows::new(&["Proxy", "RSS before MiB", "RSS with them MiB", "KiB a connection"]);
    let mut findings = Vec::new();
    for peer in bench.peers.iter().filter(|peer| peer.kind != Kind::Relay) {
        let (before, after) = one(bench, peer, is_tls, count).with_context(|| peer.kind.name())?;
        // Less than before is possible: an allocator gives memory back when it likes.
        let each = (after as f64 - before as f64) / count as f64;
        if peer.kind == Kind::Weftway {
            findings.push(Finding {
                case,
                measure: "memory per connection".to_owned(),
                value: each,
                interval: None,
                unit: "KiB",
            });
        }
        let mib = |kib: u64| number(kib as f64 / 1024.0, "");
        rows.add(&[peer.version.clone(), mib(before), mib(after), number(each, "")]);
    }
    let kind = if is_tls { "TLS" } else { "plain" };
    Ok(Section {
        title: format!("{count} idle keep-alive connections, {kind}"),
        body: format!("One request on each, then idle for 2 s.\n\n{}", rows.finish()),
        findings,
    })
}

fn one(bench: &Bench, peer: &Peer, is_tls: bool, count: usize) -> anyhow::Result<(u64, u64)> {
    let table = Table { is_tls, ..Table::REALISTIC };
    let running = peer.start(&bench.lab, table)?;
    let config = tls_config(bench.lab.authority.pem().as_bytes())?;
    let connect = |addr: SocketAddr| {
        if is_tls { Client::tls(addr, &config) } else { Client::plain(addr) }
    };
    let addr = target(&running, is_tls)?;
    let (host, path) = (table.host(), table.path());
    let mut warm = connect(addr)?;
    for _ in 0..WARM_UP {
        warm.get(&host, &path)?;
    }
    settle(1);
    let before = running.process.rss_kib();
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = connect(addr)?;
        client.get(&host, &path)?;
        held.push(client);
    }
    settle(2);
    Ok((before, running.process.rss_kib()))
}

fn target(running: &Running, is_tls: bool) -> anyhow::Result<SocketAddr> {
    if is_tls { running.tls.context("no TLS") } else { Ok(running.plain) }
}

/// Raises our own limit as far as it goes; children inherit it.
fn allow_many_descriptors() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

pub(super) fn routes(bench: &Bench) -> anyhow::Result<Section> {
    let table = Table { hosts: 100, per_host: 50, is_tls: false };
    let running = bench.weftway()?.start(&bench.lab, table)?;
    settle(1);
    let mib = running.process.rss_kib() as f64 / 1024.0;
    Ok(Section {
        title: "Memory with 5,000 routes".to_owned(),
        body: format!("Resident memory a second after the first answer: {mib:.1} MiB.\n"),
        findings: vec![Finding {
            case: "memory",
            measure: "RSS with 5,000 routes".to_owned(),
            value: mib,
            interval: None,
            unit: "MiB",
        }],
    })
}
