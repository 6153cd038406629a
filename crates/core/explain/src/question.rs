//! A request that somebody asks about.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};

use weft_message::{Method, RequestHead, Scheme};
use weft_model::id::ListenerId;

/// A request, and where it is made.
#[derive(Debug)]
pub struct Question {
    /// Its head.
    pub head: RequestHead,
    /// The client's address: of the peer at a gateway.
    pub client: IpAddr,
    /// The listener that it has come to: of a gateway, or of a workload for what others send to it.
    /// Where it is unknown or gone, the listener is looked for.
    pub listener: Option<ListenerId>,
    /// Who has proved to have sent it to a workload.
    pub peer: Option<Box<str>>,
}

/// Where a request is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standpoint {
    /// Outside, at a gateway.
    Gateway,
    /// In a workload of the mesh, whose proxy the snapshot belongs to.
    Workload {
        /// Its namespace, which completes short names.
        namespace: Box<str>,
        /// What names of the mesh end in: `cluster.local`.
        domain: Box<str>,
    },
}

/// The words are no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuestion {
    /// It has to be `GET http://host:port/path`, or `http://host/path`.
    #[error("`{0}` is no request; write it as 'GET http://payments:8080/v2/charge'")]
    Form(Box<str>),
    /// The method is no token.
    #[error("`{0}` is no method")]
    Method(Box<str>),
    /// The scheme is another.
    #[error("the scheme `{0}` is neither http nor https")]
    Scheme(Box<str>),
    /// The host is none.
    #[error("`{0}` is no host")]
    Host(Box<str>),
    /// The path or the query is none.
    #[error("`{0}` is no path")]
    Target(Box<str>),
    /// A header has to be `name: value`.
    #[error("`{0}` is no header; write it as 'name: value'")]
    Header(Box<str>),
}

// === impl Question ===

impl Question {
    /// Reads `GET http://payments:8080/v2/charge?x=1`; without a method it is GET. `headers` are
    /// `name: value` each.
    ///
    /// # Errors
    ///
    /// When a part of it cannot be a part of a request.
    pub fn parse<'h>(
        text: &str,
        headers: impl IntoIterator<Item = &'h str>,
    ) -> Result<Self, InvalidQuestion> {
        let text = text.trim();
        let (method, url) = text.split_once(char::is_whitespace).unwrap_or(("GET", text));
        let (scheme, rest) =
            url.trim().split_once("://").ok_or_else(|| InvalidQuestion::Form(text.into()))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(InvalidQuestion::Scheme(scheme.into())),
        };
        let (authority, target) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        let mut head = RequestHead::new();
        let known = Method::parse(method.as_bytes());
        head.set_method(known.map_err(|_| InvalidQuestion::Method(method.into()))?);
        head.set_scheme(scheme);
        head.set_authority(authority).map_err(|_| InvalidQuestion::Host(authority.into()))?;
        head.set_path(path).map_err(|_| InvalidQuestion::Target(target.into()))?;
        head.set_query(query).map_err(|_| InvalidQuestion::Target(target.into()))?;
        for header in headers {
            let invalid = || InvalidQuestion::Header(header.into());
            let (name, value) = header.split_once(':').ok_or_else(invalid)?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            head.fields.append(&*name, value.as_bytes()).map_err(|_| invalid())?;
        }
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Ok(Self { head, client, listener: None, peer: None })
    }

    /// The port: as written, or the scheme's own.
    pub fn port(&self) -> u16 {
        let usual = match self.head.scheme() {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        self.head.port().unwrap_or(usual)
    }

    /// As one would write it.
    pub fn words(&self) -> String {
        let head = &self.head;
        let (method, scheme) = (head.method().as_str(), head.scheme().as_str());
        let url = format!("{scheme}://{}{}", head.authority(), head.path_and_query());
        match &self.peer {
            Some(peer) => format!("{method} {url} from {peer}"),
            None => format!("{method} {url}"),
        }
    }
}
