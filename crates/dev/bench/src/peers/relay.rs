//! The limit: bytes copied, nothing parsed.

use std::path::Path;

use super::Ports;
use crate::lab::{Lab, PROXY_CPU};
use crate::process::{Process, pinned};

pub(super) fn start(program: &Path, lab: &Lab, ports: &Ports) -> anyhow::Result<Process> {
    let mut command = pinned(PROXY_CPU, program);
    command.arg(ports.plain.to_string()).arg(lab.origins[0].port().to_string());
    Process::start(&mut command, &lab.path("relay.log"))
}
