//! What the tests of every module share.

use std::net::{IpAddr, Ipv4Addr};

use weft_message::{FieldName, Method, RequestHead, ResponseHead, Scheme};
use weft_model::id::PolicyId;
use weft_model::policy::{Step, StepKind};

use crate::answer::DirectResponse;
use crate::step::{self, ClientFacts, RequestContext, ResponseFacts, Verdict};

/// A plain connection from 192.0.2.1 to port 80.
pub(crate) const PLAIN: ClientFacts = ClientFacts {
    peer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    peer_port: 40_000,
    tls: false,
    listener_port: 80,
};

/// The same with TLS and port 443.
pub(crate) const TLS: ClientFacts = ClientFacts { tls: true, listener_port: 443, ..PLAIN };

/// A request from `GET http://host[:port]/path?query`.
#[track_caller]
pub(crate) fn request(line: &str, fields: &[(&str, &str)]) -> RequestHead {
    let (method, url) = line.split_once(' ').expect("method and URL");
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let at = rest.find(['/', '*']).expect("a path");
    let (authority, target) = rest.split_at(at);
    let mut head = RequestHead::new();
    head.set_method(Method::parse(method.as_bytes()).expect("a method"));
    head.set_scheme(Scheme::parse(scheme.as_bytes()).expect("http or https"));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if path != "*" {
        head.set_path(path).expect("a canonical path");
    }
    head.set_query(query).expect("a query");
    head.set_authority(authority).expect("an authority");
    for (name, value) in fields {
        head.fields.append(*name, value.as_bytes()).expect("a field");
    }
    head
}

/// A response.
#[track_caller]
pub(crate) fn response(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead::new();
    head.set_status(status);
    for (name, value) in fields {
        head.fields.append(*name, value.as_bytes()).expect("a field");
    }
    head
}

pub(crate) fn name(text: &str) -> FieldName {
    FieldName::new(text).expect("a field name")
}

pub(crate) fn step(kind: StepKind) -> Step {
    Step { id: PolicyId::new("step"), kind }
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) head: RequestHead,
    pub(crate) facts: ResponseFacts,
}

impl Outcome {
    /// The answer; fails the test when the request went on.
    #[track_caller]
    pub(crate) fn answer(self) -> DirectResponse {
        match self.verdict {
            Verdict::Respond(answer) => *answer,
            Verdict::Continue => panic!("the request went on: {:?}", self.head),
        }
    }

    /// The request; fails the test when it was answered.
    #[track_caller]
    pub(crate) fn passed(self) -> RequestHead {
        match self.verdict {
            Verdict::Continue => self.head,
            Verdict::Respond(answer) => panic!("the request was answered: {answer:?}"),
        }
    }
}

/// Runs one step on a request.
pub(crate) fn run(kind: StepKind, head: RequestHead, client: ClientFacts) -> Outcome {
    let mut head = head;
    let mut facts = ResponseFacts::default();
    let mut scratch = String::from("left over");
    let mut ctx =
        RequestContext { head: &mut head, client, facts: &mut facts, scratch: &mut scratch };
    let verdict = step::on_request(&step(kind), &mut ctx);
    Outcome { verdict, head, facts }
}

/// The fields as `name: value`, names in lower case.
pub(crate) fn lines<'a>(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<String> {
    fields
        .into_iter()
        .map(|(name, value)| {
            format!("{}: {}", name.to_ascii_lowercase(), String::from_utf8_lossy(value))
        })
        .collect()
}
