//! Calls, as they are written down for a client.

use serde::{Deserialize, Serialize};

/// A request that is to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Whom to connect to: `host:port`.
    pub(super) authority: String,
    /// gRPC, or HTTP/1.1.
    pub(super) is_grpc: bool,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

// === impl Call ===

impl Call {
    /// GET of `host/path` or `host:port/path`.
    pub(crate) fn get(url: &str) -> Self {
        let (host, path) = url.split_once('/').unwrap_or((url, ""));
        let authority = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        Self {
            authority,
            is_grpc: false,
            method: "GET".into(),
            target: format!("/{path}"),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// POST of the same with a body.
    pub(crate) fn post(url: &str, body: &str) -> Self {
        Self { body: body.into(), ..Self::get(url).method("POST") }
    }

    /// A gRPC call with one message: `host:port/service/method`.
    pub(crate) fn grpc(url: &str) -> Self {
        Self { is_grpc: true, ..Self::post(url, "ping") }
    }

    pub(crate) fn method(self, method: &str) -> Self {
        Self { method: method.into(), ..self }
    }

    /// With one more header; `host` in place of whom it connects to.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Tells the application how to behave for this call (see [`super::behaviour`]).
    pub(crate) fn which(self, behaviour: &str) -> Self {
        self.header(super::behaviour::HEADER, behaviour)
    }

    /// What a client writes into `host`.
    pub(super) fn host(&self) -> &str {
        let given = self.headers.iter().find(|(name, _)| name == "host");
        let plain = self.authority.strip_suffix(":80").unwrap_or(&self.authority);
        given.map_or(plain, |(_, host)| host)
    }
}
