//! Traefik's file provider: one document with `http`, `tcp` and `tls` at the top.
//!
//! Each router, service, middleware and so on becomes a resource of its own, named as in the file
//! and in no namespace, so that a mistake in one costs only that one.

use std::sync::Arc;

use super::route::{RouterTls, Syntax, entry_points, observability, syntax};
use super::service::{
    BackendSettings, FailoverErrors, Scheme, Sticky, TerminationDelay, delay, proxy_protocol,
    unbounded,
};
use super::tls::CertificateRef;
use super::{
    Middleware, MiddlewareTcp, ObjectRef, ServersTransport, ServersTransportTcp, TlsOption,
    TlsStore,
};
use crate::key::Key;
use crate::kind::Kind;
use crate::problem::Pos;
use crate::read::{Field, Path, Reader, Sink};
use crate::resource::{Resource, Spanned};
use crate::set::{Item, Placed};
use crate::yaml::Node;

/// The group of keys of resources from the file provider.
pub const GROUP: &str = "file.traefik.io";

/// `http.routers.*`.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    /// Entry points; empty means all.
    pub entry_points: Vec<Spanned<Box<str>>>,
    /// Rule expression.
    pub rule: Spanned<Box<str>>,
    /// 0 means the length of the rule.
    pub priority: i64,
    /// Rule language.
    pub syntax: Syntax,
    /// Applied in this order.
    pub middlewares: Vec<ObjectRef>,
    /// Where requests go; `None` only for a parent of other routers.
    pub service: Option<ObjectRef>,
    /// TLS; `None` serves plain connections.
    pub tls: Option<RouterTls>,
    /// Parents in a multi-layer setup.
    pub parent_refs: Vec<ObjectRef>,
}

/// `tcp.routers.*`.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterTcp {
    /// Entry points; empty means all.
    pub entry_points: Vec<Spanned<Box<str>>>,
    /// Rule expression.
    pub rule: Spanned<Box<str>>,
    /// 0 means the length of the rule.
    pub priority: i64,
    /// Rule language.
    pub syntax: Syntax,
    /// Applied in this order.
    pub middlewares: Vec<ObjectRef>,
    /// Where connections go.
    pub service: ObjectRef,
    /// TLS; `None` serves plain connections.
    pub tls: Option<RouterTls>,
}

/// `http.services.*`.
#[derive(Debug, Clone, PartialEq)]
pub enum Service {
    /// Servers by address.
    LoadBalancer {
        /// The servers.
        servers: Vec<Server>,
        /// How they are called.
        settings: Box<BackendSettings>,
    },
    /// Shares by weight.
    Weighted {
        /// Service and weight.
        services: Vec<(ObjectRef, u32)>,
        /// Keeps a client on one.
        sticky: Option<Box<Sticky>>,
    },
    /// By hash of the client's address.
    HighestRandomWeight {
        /// Service and weight.
        services: Vec<(ObjectRef, u32)>,
    },
    /// Copies of requests.
    Mirroring {
        /// Answers the client.
        service: ObjectRef,
        /// Service and percentage.
        mirrors: Vec<(ObjectRef, u32)>,
        /// Whether bodies are copied.
        mirror_body: bool,
        /// Larger bodies are not mirrored; `None` is no bound.
        max_body_size: Option<u64>,
    },
    /// A second service.
    Failover {
        /// Used first.
        service: ObjectRef,
        /// Used when the first is down.
        fallback: ObjectRef,
        /// Also used when the first answers one of these.
        errors: Option<FailoverErrors>,
    },
}

/// One HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it is written.
    pub at: Pos,
    /// From the URL.
    pub scheme: Scheme,
    /// From the URL, without brackets.
    pub host: Box<str>,
    /// From the URL, or the scheme's own.
    pub port: u16,
    /// Share among its siblings.
    pub weight: u32,
}

/// `tcp.services.*`.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceTcp {
    /// Servers by address.
    LoadBalancer {
        /// The servers.
        servers: Vec<ServerTcp>,
        /// `ServersTransportTCP`.
        servers_transport: Option<Spanned<Box<str>>>,
        /// PROXY protocol version sent.
        proxy_protocol: Option<u8>,
        /// After one side ended, how long the other may go on.
        termination_delay: Option<TerminationDelay>,
    },
    /// Shares by weight.
    Weighted {
        /// Service and weight.
        services: Vec<(ObjectRef, u32)>,
    },
}

/// One TCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTcp {
    /// Where it is written.
    pub at: Pos,
    /// Host, without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// TLS towards it.
    pub tls: bool,
}

/// One of `tls.certificates`.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// Chain and key.
    pub certificate: CertificateRef,
    /// Stores it belongs to; empty means `default`.
    pub stores: Vec<Box<str>>,
}

/// Whether a document is one of the file provider.
pub fn is_file_provider(node: &Node) -> bool {
    node.as_map().is_some_and(|entries| {
        !entries.is_empty()
            && entries.iter().any(|entry| matches!(&*entry.key, "http" | "tcp" | "udp" | "tls"))
    })
}

/// The resources of a document of the file provider.
pub(crate) fn items(file: &Arc<str>, node: &Node) -> Vec<Placed> {
    read(node, &Sink::new(Arc::clone(file), node.at.line))
}

/// The same with problems and records of `sink`.
pub(crate) fn read(node: &Node, sink: &Sink) -> Vec<Placed> {
    let mut items = Items { sink, first_line: node.at.line, items: Vec::new() };
    if let Some(reader) = Reader::new(node, Path::Root, sink) {
        reader.nested("http", |r| {
            items.section(r, "routers", "Router", Router::read);
            items.section(r, "services", "Service", Service::read);
            items.section(r, "middlewares", "Middleware", |r| {
                Middleware::read(r).map(Box::new).map(Kind::Middleware)
            });
            items.section(r, "serversTransports", "ServersTransport", |r| {
                ServersTransport::read(r).map(Box::new).map(Kind::ServersTransport)
            });
            r.ignored("models", "they are internal to Traefik");
            Some(())
        });
        reader.nested("tcp", |r| {
            items.section(r, "routers", "RouterTCP", RouterTcp::read);
            items.section(r, "services", "ServiceTCP", ServiceTcp::read);
            items.section(r, "middlewares", "MiddlewareTCP", |r| {
                MiddlewareTcp::read(r).map(Box::new).map(Kind::MiddlewareTcp)
            });
            items.section(r, "serversTransports", "ServersTransportTCP", |r| {
                ServersTransportTcp::read(r).map(Box::new).map(Kind::ServersTransportTcp)
            });
            Some(())
        });
        reader.nested("udp", |r| {
            for (section, kind) in [("routers", "RouterUDP"), ("services", "ServiceUDP")] {
                items.section(r, section, kind, |r| {
                    r.skip_rest();
                    Some(Kind::Unsupported { why: "UDP is not served" })
                });
            }
            Some(())
        });
        reader.nested("tls", |r| {
            items.certificates(r);
            items.section(r, "options", "TLSOption", |r| {
                TlsOption::read(r).map(Box::new).map(Kind::TlsOption)
            });
            items.section(r, "stores", "TLSStore", |r| {
                TlsStore::read(r).map(Box::new).map(Kind::TlsStore)
            });
            Some(())
        });
    }
    let mut items = items.items;
    let problems = sink.take_problems();
    if !problems.is_empty() {
        let item = Item::unread(sink.file(), problems);
        items.push(Placed { at: node.at, item: Arc::new(item) });
    }
    items
}

struct Items<'s> {
    sink: &'s Sink,
    first_line: u32,
    items: Vec<Placed>,
}

impl Items<'_> {
    /// Takes a map of named resources.
    fn section(
        &mut self,
        r: &Reader<'_, '_>,
        section: &'static str,
        kind: &'static str,
        read: fn(&Reader<'_, '_>) -> Option<Kind>,
    ) {
        let Some(reader) = r.take(section) else { return };
        let Some(reader) = reader.reader() else { return };
        for (name, field) in reader.rest() {
            self.add(Key::new(GROUP, kind, "", name), &field, read);
        }
    }

    fn certificates(&mut self, r: &Reader<'_, '_>) {
        let Some(field) = r.take("certificates") else { return };
        let mut index = 0;
        field.list(|item| {
            let key = Key::new(GROUP, "Certificate", "", format!("certificates[{index}]"));
            index += 1;
            self.add(key, item, |r| {
                let stores = r.strings("stores");
                let cert = r.require("certFile").and_then(|field| field.spanned_string());
                let key = r.require("keyFile").and_then(|field| field.spanned_string());
                let certificate = CertificateRef::Files { cert: cert?, key: key? };
                Some(Kind::FileCertificate(Box::new(Certificate { certificate, stores })))
            });
            Some(())
        });
    }

    fn add(&mut self, key: Key, field: &Field<'_, '_>, read: fn(&Reader<'_, '_>) -> Option<Kind>) {
        let at = field.key_at().from_line(self.first_line);
        let sink = self.sink.part(at.line);
        let body = match Reader::new(field.node(), *field.path(), &sink) {
            Some(reader) if !key.name.contains('@') => read(&reader),
            Some(reader) => {
                reader.skip_rest();
                reader.error(format!("the name `{}` may not contain `@`", key.name), None);
                None
            }
            None => None,
        };
        let failed = sink.error_count() > 0;
        let is_whole = !sink.has_gaps();
        let rejected = (failed || body.is_none()).then(|| Box::new(key.clone()));
        let read = body.map(|body| {
            Arc::new(Resource {
                key,
                api_version: "".into(),
                labels: Box::default(),
                annotations: Box::default(),
                created: "".into(),
                file: Arc::clone(self.sink.file()),
                body,
            })
        });
        let (resource, draft) =
            if failed { (None, read.filter(|_| is_whole)) } else { (read, None) };
        let problems = sink.into_problems();
        let item = Item { rejected, resource, draft, ..Item::unread(self.sink.file(), problems) };
        self.items.push(Placed { at, item: Arc::new(item) });
    }
}

// === impl Router ===

impl Router {
    fn read(r: &Reader<'_, '_>) -> Option<Kind> {
        let entry_points = entry_points(r);
        let rule = r.require("rule").and_then(|field| field.spanned_string());
        let priority = r.int("priority", i64::MIN, super::route::PRIORITY_MAX).unwrap_or(0);
        let syntax = syntax(r, "ruleSyntax");
        let middlewares = r.list("middlewares", ObjectRef::read_name);
        let service = r.take("service").and_then(|field| ObjectRef::read_name(&field));
        let tls = r.take_even_null("tls").and_then(|field| RouterTls::read_file(&field, false));
        let parent_refs = r.list("parentRefs", ObjectRef::read_name);
        observability(r);
        let rule = rule?;
        Some(Kind::Router(Box::new(Self {
            entry_points,
            rule,
            priority,
            syntax,
            middlewares,
            service,
            tls,
            parent_refs,
        })))
    }
}

// === impl RouterTcp ===

impl RouterTcp {
    fn read(r: &Reader<'_, '_>) -> Option<Kind> {
        let entry_points = entry_points(r);
        let rule = r.require("rule").and_then(|field| field.spanned_string());
        let priority = r.int("priority", i64::MIN, super::route::PRIORITY_MAX).unwrap_or(0);
        let syntax = syntax(r, "ruleSyntax");
        let middlewares = r.list("middlewares", ObjectRef::read_name);
        let service = r.require("service").and_then(|field| ObjectRef::read_name(&field));
        let tls = r.take_even_null("tls").and_then(|field| RouterTls::read_file(&field, true));
        let (rule, service) = (rule?, service?);
        Some(Kind::RouterTcp(Box::new(Self {
            entry_points,
            rule,
            priority,
            syntax,
            middlewares,
            service,
            tls,
        })))
    }
}

// === impl Service ===

impl Service {
    fn read(r: &Reader<'_, '_>) -> Option<Kind> {
        let kinds = ["loadBalancer", "weighted", "highestRandomWeight", "mirroring", "failover"];
        let name = one_of(r, &kinds)?;
        let service = r.take(name)?.nested(|r| match name {
            "loadBalancer" => Some(Self::read_servers(r)),
            "weighted" => {
                parents_health(r);
                let sticky = r.take("sticky").and_then(|field| Sticky::read(&field));
                Some(Self::Weighted { services: r.list("services", weighted), sticky })
            }
            "highestRandomWeight" => {
                parents_health(r);
                Some(Self::HighestRandomWeight { services: r.list("services", weighted) })
            }
            "mirroring" => Self::read_mirroring(r),
            _ => Self::read_failover(r),
        })?;
        Some(Kind::FileService(Box::new(service)))
    }

    fn read_servers(r: &Reader<'_, '_>) -> Self {
        let servers = r.list("servers", Server::read);
        Self::LoadBalancer { servers, settings: Box::new(BackendSettings::read(r)) }
    }

    fn read_mirroring(r: &Reader<'_, '_>) -> Option<Self> {
        parents_health(r);
        let mirrors = r.list("mirrors", |field| {
            field.nested(|r| {
                let percent = r.int("percent", 0, 100).unwrap_or(0) as u32;
                Some((name_of(r)?, percent))
            })
        });
        let mirror_body = r.bool_or("mirrorBody", true);
        let max_body_size = unbounded(r, "maxBodySize");
        let service = ObjectRef::read_name(&r.require("service")?)?;
        Some(Self::Mirroring { service, mirrors, mirror_body, max_body_size })
    }

    fn read_failover(r: &Reader<'_, '_>) -> Option<Self> {
        parents_health(r);
        let service = r.require("service").and_then(|field| ObjectRef::read_name(&field));
        let fallback = r.require("fallback").and_then(|field| ObjectRef::read_name(&field));
        let errors = r.take("errors").and_then(|field| FailoverErrors::read(&field));
        Some(Self::Failover { service: service?, fallback: fallback?, errors })
    }
}

// === impl Server ===

impl Server {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        field.nested(|r| {
            if r.bool("preservePath") == Some(true) {
                r.error("`preservePath: true` is not supported", None);
            }
            let weight = r.int("weight", 0, u32::MAX.into()).unwrap_or(1) as u32;
            let url = r.require("url")?;
            let text = url.non_empty_string()?;
            let Some((scheme, host, port, path)) = split_url(&text) else {
                let fix = "write a URL such as http://10.0.0.5:8080".into();
                url.error(format!("`{text}` is not the URL of a server"), Some(fix));
                return None;
            };
            if !matches!(path, "" | "/") {
                url.warn(format!("the path `{path}` has no effect, as in Traefik"), None);
            }
            Some(Self { at: url.at(), scheme, host: host.into(), port, weight })
        })
    }
}

// === impl ServiceTcp ===

impl ServiceTcp {
    fn read(r: &Reader<'_, '_>) -> Option<Kind> {
        let name = one_of(r, &["loadBalancer", "weighted"])?;
        let service = r.take(name)?.nested(|r| {
            if name == "weighted" {
                parents_health(r);
                return Some(Self::Weighted { services: r.list("services", weighted) });
            }
            r.ignored("healthCheck", "TCP servers are judged by their connections");
            Some(Self::LoadBalancer {
                servers: r.list("servers", ServerTcp::read),
                servers_transport: r.take("serversTransport").and_then(|f| f.spanned_string()),
                proxy_protocol: proxy_protocol(r),
                termination_delay: r.take("terminationDelay").and_then(|field| delay(&field)),
            })
        })?;
        Some(Kind::FileServiceTcp(Box::new(service)))
    }
}

// === impl ServerTcp ===

impl ServerTcp {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        field.nested(|r| {
            let tls = r.bool_or("tls", false);
            let address = r.require("address")?;
            let text = address.non_empty_string()?;
            let Some((host, port)) = split_authority(&text, None) else {
                let fix = "write host and port, such as 10.0.0.5:5432".into();
                address.error(format!("`{text}` is not an address"), Some(fix));
                return None;
            };
            Some(Self { at: address.at(), host: host.into(), port, tls })
        })
    }
}

/// Splits a server's URL into scheme, host, port and the rest.
pub fn split_url(url: &str) -> Option<(Scheme, &str, u16, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (scheme, port) = match scheme {
        "http" => (Scheme::Http, 80),
        "https" => (Scheme::Https, 443),
        "h2c" => (Scheme::H2c, 80),
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = split_authority(authority, Some(port))?;
    Some((scheme, host, port, path))
}

/// Splits `host:port`; the port may be missing when there is a default.
pub fn split_authority(text: &str, default: Option<u16>) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = if port.is_empty() { default? } else { port.parse().ok().filter(|n| *n != 0)? };
    let valid = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':'));
    valid.then_some((host, port))
}

fn weighted(field: &Field<'_, '_>) -> Option<(ObjectRef, u32)> {
    field.nested(|r| {
        let weight = r.int("weight", 0, u32::MAX.into()).unwrap_or(1) as u32;
        Some((name_of(r)?, weight))
    })
}

fn name_of(r: &Reader<'_, '_>) -> Option<ObjectRef> {
    ObjectRef::read_name(&r.require("name")?)
}

/// `healthCheck: {}` of a service of services makes it report its children's health to its parent,
/// which ours always do.
fn parents_health(r: &Reader<'_, '_>) {
    r.skip("healthCheck");
}

fn one_of(r: &Reader<'_, '_>, names: &[&'static str]) -> Option<&'static str> {
    let given: Vec<&'static str> = names.iter().copied().filter(|name| r.has(name)).collect();
    if let [name] = given.as_slice() {
        return Some(name);
    }
    names.iter().for_each(|name| r.skip(name));
    let found = if given.is_empty() { "none".into() } else { given.join(" and ") };
    r.error(format!("exactly one of {} is needed, found {found}", names.join(", ")), None);
    None
}
