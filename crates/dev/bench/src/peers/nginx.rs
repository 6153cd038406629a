//! nginx.

use std::path::{Path, PathBuf};

use super::{Ports, which};
use crate::lab::{Lab, PROXY_CPU};
use crate::machine;
use crate::process::{Process, pinned};

pub(super) fn find() -> Option<(PathBuf, String)> {
    let program = which("nginx")?;
    let line = machine::version_line(program.to_str()?, &["-v"], "nginx")?;
    let version = line.rsplit(' ').next().unwrap_or(&line).replace('/', " ");
    Some((program, version))
}

pub(super) fn start(program: &Path, lab: &Lab, ports: &Ports) -> anyhow::Result<Process> {
    let prefix = lab.folder("nginx")?;
    let config = prefix.join("nginx.conf");
    std::fs::write(&config, config_text(lab, ports))?;
    let mut command = pinned(PROXY_CPU, program);
    command.arg("-p").arg(&prefix).arg("-e").arg(prefix.join("error.log")).arg("-c").arg(&config);
    Process::start(&mut command, &lab.path("nginx.log"))
}

fn config_text(lab: &Lab, ports: &Ports) -> String {
    let Ports { plain, tls, h2c, .. } = ports;
    let cert = lab.cert();
    let location = "proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
                    proxy_set_header Host $http_host; \
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
                    proxy_request_buffering off; proxy_max_temp_file_size 0;";
    // HTTP/2 has no Host field in nginx 1.22: $host holds :authority.
    let h2_location = location.replace("$http_host", "$host");
    // Workers of a master that runs as root would otherwise not reach the run folder.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off; worker_processes 1; pid nginx.pid; {user}
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_buffer_size 16k; proxy_buffer_size 8k; proxy_buffers 16 16k;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
  scgi_temp_path t5;
  ssl_certificate {crt}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
  upstream u {{
    server {origin}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{plain} reuseport backlog=4096;
    listen 127.0.0.1:{tls} ssl;
    location / {{ {location} }}
    location /svc1/ {{ {location} }}
  }}
  server {{
    listen 127.0.0.1:{h2c} http2;
    location / {{ {h2_location} }}
    location /svc1/ {{ {h2_location} }}
  }}
}}
",
        crt = cert.crt.display(),
        key = cert.key.display(),
        origin = lab.origins[0],
    )
}
