//! WorkloadGroup.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::value::block;
use super::workload::{self, WorkloadEntry};
use crate::kubernetes::Labels;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// A WorkloadGroup: what workloads that register themselves have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadGroup {
    /// Labels of their WorkloadEntries.
    pub labels: Labels,
    /// Annotations of their WorkloadEntries.
    pub annotations: Labels,
    /// What their WorkloadEntries say; its address is empty.
    pub template: WorkloadEntry,
    /// How it is found out whether they take calls; `None` if they always do.
    pub probe: Option<Spanned<Probe>>,
}

/// How it is found out whether a workload takes calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The question.
    pub check: HealthCheck,
    /// How long after its start the first is asked; at once by default.
    pub initial_delay: Duration,
    /// How long the answer may take; 1 s by default.
    pub timeout: Duration,
    /// How often it is asked; every 10 s by default.
    pub period: Duration,
    /// After so many good answers in a row it takes calls; 1 by default.
    pub success_threshold: u32,
    /// After so many bad ones in a row it does not; 3 by default.
    pub failure_threshold: u32,
}

/// How a workload is asked whether it takes calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// By an HTTP request, to be answered with 200 to 399.
    Http {
        /// The path.
        path: Box<str>,
        /// The port.
        port: u16,
        /// The host to connect to; `None` for the workload.
        host: Option<Box<str>>,
        /// By TLS, without a look at the certificate.
        is_https: bool,
        /// Headers.
        headers: Vec<(Box<str>, Box<str>)>,
    },
    /// By a connection.
    Tcp {
        /// The host to connect to; `None` for the workload.
        host: Option<Box<str>>,
        /// The port.
        port: u16,
    },
    /// By a program, which has to end with 0.
    Exec {
        /// The program and its arguments.
        command: Vec<Box<str>>,
    },
    /// By the health protocol of gRPC.
    Grpc {
        /// The port; `None` for that of the workload.
        port: Option<u16>,
        /// The name of the service, perhaps empty.
        service: Box<str>,
    },
}

/// What [`Probe::timeout`] is by default.
const TIMEOUT_SECS: u64 = 1;

/// What [`Probe::period`] is by default.
const PERIOD_SECS: u64 = 10;

/// What [`Probe::success_threshold`] is by default.
const SUCCESSES: u32 = 1;

/// What [`Probe::failure_threshold`] is by default.
const FAILURES: u32 = 3;

// === impl Probe ===

impl Probe {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        // Zero is the default, as in all of protobuf's JSON.
        let number = |name| {
            reader.int(name, 0, i32::MAX.into()).filter(|number| *number > 0).map(|n| n as u32)
        };
        let secs =
            |name, default: u64| Duration::from_secs(number(name).map_or(default, u64::from));
        let probe = (
            secs("initialDelaySeconds", 0),
            secs("timeoutSeconds", TIMEOUT_SECS),
            secs("periodSeconds", PERIOD_SECS),
            number("successThreshold").unwrap_or(SUCCESSES),
            number("failureThreshold").unwrap_or(FAILURES),
        );
        let (initial_delay, timeout, period, success_threshold, failure_threshold) = probe;
        let check = HealthCheck::take(reader)?;
        Some(Self { check, initial_delay, timeout, period, success_threshold, failure_threshold })
    }
}

// === impl HealthCheck ===

impl HealthCheck {
    fn take(reader: &Reader<'_, '_>) -> Option<Self> {
        let checks = [
            reader.take("httpGet").map(|field| field.nested(Self::http)),
            reader.take("tcpSocket").map(|field| field.nested(Self::tcp)),
            reader.take("exec").map(|field| field.nested(Self::exec)),
            reader.take("grpc").map(|field| field.nested(Self::grpc)),
        ];
        let mut said = checks.into_iter().flatten();
        let first = said.next();
        if first.is_none() || said.next().is_some() {
            let message = "one of `httpGet`, `tcpSocket`, `exec` and `grpc` is required, and only \
                           one";
            reader.error(message, None);
            return None;
        }
        first?
    }

    fn http(reader: &Reader<'_, '_>) -> Option<Self> {
        let path = reader.string("path").filter(|path| !path.is_empty());
        let schemes = [("HTTP", false), ("HTTPS", true), ("", false)];
        let scheme = reader.take("scheme").map(|field| field.choice(&schemes));
        let headers = reader.list("httpHeaders", |item| item.nested(header));
        let host = host(reader);
        let port = reader.require("port")?.port()?;
        Some(Self::Http {
            path: path.unwrap_or_else(|| "/".into()),
            port,
            host,
            is_https: scheme.unwrap_or(Some(false))?,
            headers,
        })
    }

    fn tcp(reader: &Reader<'_, '_>) -> Option<Self> {
        let host = host(reader);
        Some(Self::Tcp { host, port: reader.require("port")?.port()? })
    }

    fn exec(reader: &Reader<'_, '_>) -> Option<Self> {
        let field = reader.require("command")?;
        let command = field.list(|item: &Field<'_, '_>| item.non_empty_string());
        if command.is_empty() {
            field.error("a program is required", None);
            return None;
        }
        Some(Self::Exec { command })
    }

    fn grpc(reader: &Reader<'_, '_>) -> Option<Self> {
        let service = reader.string_or_empty("service");
        let port = reader.take("port").map(|field| field.port());
        let port = match port {
            Some(port) => Some(port?),
            None => None,
        };
        Some(Self::Grpc { port, service })
    }
}

fn host(reader: &Reader<'_, '_>) -> Option<Box<str>> {
    reader.string("host").filter(|host| !host.is_empty())
}

fn header(reader: &Reader<'_, '_>) -> Option<(Box<str>, Box<str>)> {
    let value = reader.string_or_empty("value");
    let field = reader.require("name")?;
    let name = field.non_empty_string()?;
    if !super::header::is_field_name(&name) {
        field.error(format!("`{name}` is not the name of a header"), None);
        return None;
    }
    Some((name, value))
}

/// Reads a WorkloadGroup.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<WorkloadGroup> {
    reader.require("spec")?.nested(|spec| {
        let (mut labels, mut annotations) = (Vec::new(), Vec::new());
        spec.nested("metadata", |metadata| {
            let map = |name| metadata.take(name).map(|field| field.text_map());
            labels = map("labels").unwrap_or_default();
            annotations = map("annotations").unwrap_or_default();
            Some(())
        });
        let probe = block(spec, "probe", Probe::read);
        let template = spec.require("template")?.nested(workload::read_template)?;
        let (labels, annotations) = (labels.into(), annotations.into());
        Some(WorkloadGroup { labels, annotations, template, probe })
    })
}
