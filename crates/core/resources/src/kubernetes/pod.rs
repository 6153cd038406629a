//! Pod.

use std::net::IpAddr;

use super::service::Transport;
use crate::read::{Field, Reader};

/// The account of Pods that name none.
pub const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// A Pod (core v1), as far as its callers are concerned: all else is the cluster's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its addresses, the first one preferred; none before it has started.
    pub addrs: Vec<IpAddr>,
    /// `spec.serviceAccountName`; `default` when absent.
    pub service_account: Box<str>,
    /// The TCP ports that its containers declare.
    pub ports: Vec<ContainerPort>,
    /// Whether it takes calls.
    pub readiness: Readiness,
    /// Its name below that of its headless Service.
    pub hostname: Option<Box<str>>,
    /// That Service.
    pub subdomain: Option<Box<str>>,
}

/// A port that a container declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// Number.
    pub number: u16,
    /// Name, perhaps empty.
    pub name: Box<str>,
}

/// Whether a Pod takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// Not yet, or not at the moment.
    Unready,
    /// It is going away, or has ended.
    Terminating,
}

/// Reads a Pod.
pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Pod> {
    let is_deleted = reader.take("metadata").is_some_and(|field| {
        field.node().find("deletionTimestamp").is_some_and(|at| !at.is_null())
    });
    let mut pod = Pod {
        addrs: Vec::new(),
        service_account: DEFAULT_SERVICE_ACCOUNT.into(),
        ports: Vec::new(),
        readiness: Readiness::Unready,
        hostname: None,
        subdomain: None,
    };
    reader.nested("spec", |spec| {
        spec.skip("serviceAccount");
        let account = spec.string("serviceAccountName").filter(|name| !name.is_empty());
        pod.service_account = account.unwrap_or_else(|| DEFAULT_SERVICE_ACCOUNT.into());
        pod.hostname = spec.string("hostname").filter(|name| !name.is_empty());
        pod.subdomain = spec.string("subdomain").filter(|name| !name.is_empty());
        pod.ports.extend(spec.list("containers", container).into_iter().flatten());
        pod.ports.extend(spec.list("initContainers", container).into_iter().flatten());
        spec.skip_rest();
        Some(())
    });
    reader.nested("status", |status| {
        pod.addrs = addrs(status);
        pod.readiness = readiness(status);
        status.skip_rest();
        Some(())
    });
    if is_deleted {
        pod.readiness = Readiness::Terminating;
    }
    Some(pod)
}

fn container(field: &Field<'_, '_>) -> Option<Vec<ContainerPort>> {
    field.nested(|container| {
        let ports = container.list("ports", |item| item.nested(port));
        container.skip_rest();
        Some(ports.into_iter().flatten().collect())
    })
}

/// A port; the inner `None` is one that is not TCP.
fn port(reader: &Reader<'_, '_>) -> Option<Option<ContainerPort>> {
    ["hostPort", "hostIP"].iter().for_each(|name| reader.skip(name));
    let name = reader.string_or_empty("name");
    let transport = Transport::take(reader);
    let number = reader.require("containerPort")?.port()?;
    Some((transport == Transport::Tcp).then_some(ContainerPort { number, name }))
}

fn addrs(status: &Reader<'_, '_>) -> Vec<IpAddr> {
    let address = |field: &Field<'_, '_>| -> Option<IpAddr> { field.string()?.parse().ok() };
    let mut addrs: Vec<IpAddr> =
        status.take("podIP").and_then(|ip| address(&ip)).into_iter().collect();
    for ip in status.list("podIPs", |item| item.nested(|ip| address(&ip.take("ip")?))) {
        if !addrs.contains(&ip) {
            addrs.push(ip);
        }
    }
    addrs
}

fn readiness(status: &Reader<'_, '_>) -> Readiness {
    let is_over =
        status.string("phase").is_some_and(|phase| matches!(&*phase, "Succeeded" | "Failed"));
    let ready = status.list("conditions", |item| {
        item.nested(|condition| {
            let is_met = condition.string("status").is_some_and(|status| *status == *"True");
            let kind = condition.string("type");
            condition.skip_rest();
            Some(is_met && kind.as_deref() == Some("Ready"))
        })
    });
    match ready.contains(&true) {
        _ if is_over => Readiness::Terminating,
        true => Readiness::Ready,
        false => Readiness::Unready,
    }
}
