//! What became of calls, and what had to.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::mesh::Mesh;

use super::call::Call;
use super::load::Load;

/// What became of a call.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// 0 if there was no answer; `body` tells why.
    pub(crate) status: u16,
    /// The status of gRPC, if there was one.
    pub(crate) grpc: Option<u16>,
    pub(super) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// What it took.
    pub(crate) millis: u64,
}

/// What has to become of a call.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    status: u16,
    name: Option<String>,
    path: Option<String>,
    /// Headers of the request, as the application has seen them; without a value if it must not.
    request: Vec<(String, Option<String>)>,
    /// The same of the answer.
    response: Vec<(String, Option<String>)>,
}

/// 200 from this application.
pub(crate) fn answered(name: &str) -> Expected {
    Expected { name: Some(name.into()), ..status(200) }
}

/// This status, whoever answers.
pub(crate) fn status(status: u16) -> Expected {
    let (request, response) = (Vec::new(), Vec::new());
    Expected { status, name: None, path: None, request, response }
}

/// No rule takes the request.
pub(crate) fn not_found() -> Expected {
    status(404)
}

/// A redirect to there.
pub(crate) fn redirected(code: u16, location: &str) -> Expected {
    status(code).response("location", location)
}

/// Makes calls from a workload one after the other, and requires of each what stands beside it.
#[track_caller]
pub(crate) fn check(mesh: &Mesh, from: &str, cases: &[(Call, Expected)]) {
    let calls: Vec<Call> = cases.iter().map(|(call, _)| call.clone()).collect();
    let replies = mesh.calls(from, &Load::each(&calls));
    for ((call, expected), reply) in cases.iter().zip(&replies) {
        if let Err(why) = expected.compare(reply) {
            panic!("{why}\nasked: {call:?}\nexpected: {expected:?}\ngot: {reply:?}");
        }
    }
}

// === impl Reply ===

impl Reply {
    /// Who has answered, if it was an application.
    pub(crate) fn name(&self) -> Option<String> {
        self.seen().ok()?["name"].as_str().map(str::to_owned)
    }

    /// All values of a header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().filter(|(have, _)| have.eq_ignore_ascii_case(name));
        let values: Vec<&str> = found.map(|(_, value)| &**value).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// All values of a header that the application has seen.
    pub(crate) fn request(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        self.seen().ok()?["headers"][name].as_str().map(str::to_owned)
    }

    /// The path that the application has seen.
    pub(crate) fn path(&self) -> Option<String> {
        self.seen().ok()?["path"].as_str().map(str::to_owned)
    }

    /// Why the proxy has answered itself, to a client that reads problem documents.
    pub(crate) fn reason(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["reason"].as_str().unwrap_or_default().to_owned()
    }

    fn seen(&self) -> serde_json::Result<Value> {
        serde_json::from_str(&self.body)
    }
}

// === impl Expected ===

impl Expected {
    /// The application has seen this path.
    pub(crate) fn path(self, path: &str) -> Self {
        Self { path: Some(path.into()), ..self }
    }

    /// The application has seen this header.
    pub(crate) fn request(mut self, name: &str, value: &str) -> Self {
        self.request.push((name.into(), Some(value.into())));
        self
    }

    /// The application has not seen this header.
    pub(crate) fn no_request(mut self, name: &str) -> Self {
        self.request.push((name.into(), None));
        self
    }

    /// The answer has this header.
    pub(crate) fn response(mut self, name: &str, value: &str) -> Self {
        self.response.push((name.into(), Some(value.into())));
        self
    }

    /// The answer does not have this header.
    pub(crate) fn no_response(mut self, name: &str) -> Self {
        self.response.push((name.into(), None));
        self
    }

    fn compare(&self, reply: &Reply) -> Result<(), String> {
        let require = |is_so: bool, what: String| if is_so { Ok(()) } else { Err(what) };
        require(reply.status == self.status, format!("the status is {}", reply.status))?;
        if let Some(grpc) = reply.grpc {
            require(grpc == 0, format!("the status of gRPC is {grpc}"))?;
        }
        if let Some(name) = &self.name {
            require(reply.name().as_ref() == Some(name), format!("not {name} has answered"))?;
        }
        if let Some(path) = &self.path {
            let seen = reply.seen().map_err(|error| error.to_string())?;
            require(seen["path"] == **path, format!("the path is {}", seen["path"]))?;
        }
        for (name, value) in &self.request {
            let found = reply.request(name);
            require(found == *value, format!("the application got {name}: {found:?}"))?;
        }
        for (name, value) in &self.response {
            let found = reply.header(name);
            require(found == *value, format!("the answer has {name}: {found:?}"))?;
        }
        Ok(())
    }
}
