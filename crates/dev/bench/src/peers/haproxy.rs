//! HAProxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Peer, Ports, local, which};
use crate::client;
use crate::lab::{Lab, PROXY_CPU, free_port};
use crate::machine;
use crate::process::{Process, pinned};

pub(super) fn find() -> Option<(PathBuf, String)> {
    let program = which("haproxy")?;
    let line = machine::version_line(program.to_str()?, &["-v"], "HAProxy")?;
    // HAProxy version 2.6.12-1 2026/10/17 - https://...
    let version = line.split(' ').nth(2)?.to_owned();
    Some((program, format!("HAProxy {version}")))
}

pub(super) fn start(program: &Path, lab: &Lab, ports: &Ports) -> anyhow::Result<Process> {
    let config = lab.path("haproxy.cfg");
    std::fs::write(&config, config_text(lab, ports))?;
    let mut command = pinned(PROXY_CPU, program);
    command.args(["-db", "-f"]).arg(&config);
    Process::start(&mut command, &lab.path("haproxy.log"))
}

/// Starts one that ends TLS and passes the bytes to `origin`; gives where.
pub(crate) fn start_tls_relay(
    peer: &Peer,
    lab: &Lab,
    origin: SocketAddr,
) -> anyhow::Result<(Process, SocketAddr)> {
    let addr = local(free_port()?);
    let config = lab.path("haproxy-tcp.cfg");
    let text = format!(
        "global
  nbthread 1
  maxconn 9900
  tune.bufsize 16384
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen relay
  bind {addr} ssl crt {pem} ssl-min-ver TLSv1.3
  server s {origin}
",
        pem = lab.cert().pem.display(),
    );
    std::fs::write(&config, text)?;
    let mut command = pinned(PROXY_CPU, peer.program());
    command.args(["-db", "-f"]).arg(&config);
    let mut process = Process::start(&mut command, &lab.path("haproxy-tcp.log"))?;
    let trust = client::tls_config(lab.authority.pem().as_bytes())?;
    client::wait_ready_tls(addr, &trust, "localhost", "/", &mut process).context("haproxy")?;
    Ok((process, addr))
}

fn config_text(lab: &Lab, ports: &Ports) -> String {
    let Ports { plain, tls, h2c, .. } = ports;
    format!(
        "global
  nbthread 1
  maxconn 9900
  tune.bufsize 16384
defaults
  mode http
  option http-keep-alive
  http-reuse always
  option forwardfor
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-request 30s
  timeout http-keep-alive 600s
  maxconn 9900
frontend f
  bind 127.0.0.1:{plain}
  bind 127.0.0.1:{tls} ssl crt {pem} alpn http/1.1 ssl-min-ver TLSv1.3
  bind 127.0.0.1:{h2c} proto h2
  acl h1 hdr(host) -i -m beg host1.example.com
  use_backend b if {{ path_beg /svc1/ }}
  use_backend b if h1
  default_backend b
backend b
  server s {origin} pool-max-conn -1 pool-purge-delay 60s maxconn 2000
",
        pem = lab.cert().pem.display(),
        origin = lab.origins[0],
    )
}
