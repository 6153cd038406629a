//! From references to what they mean: the shared machinery of routers, chains and services.

use std::sync::Arc;

use weft_model::backend::Backend;
use weft_model::calling::Calling;
use weft_model::id::{BackendId, PolicyId};
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step, StepKind};
use weft_model::route::Target;
use weft_resources::traefik::ObjectRef;
use weft_resources::traefik::middleware::MiddlewareKind;
use weft_resources::{Key, Kind, Pos, Problem, Resource, Severity};

use super::locate::{Home, Missing, label, locate};
use super::middleware::{self, Prepared};
use super::prepare::Value;
use super::{Memo, auth};
use crate::calling::From;
use crate::calling::gateway::{self, Ask, Base, Said};
use crate::calling::layers::Part;
use crate::context::{Output, Scope};
use crate::remark::Fix;

/// Chains of chains, services of services: more levels than this are a mistake.
const DEPTH_MAX: usize = 16;

/// Collects what one resource refers to.
pub(super) struct Link<'s, 'a> {
    /// Where names are looked up.
    pub(super) scope: &'s Scope<'a>,
    memo: &'s Memo,
    resource: &'a Resource,
    /// Backends that targets name.
    pub(super) backends: Vec<Arc<Backend>>,
    /// What documents about the services of those say besides how they are called.
    pub(super) said: Vec<(BackendId, Said)>,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    /// What is to say about documents that speak of services behind backends.
    pub(super) told: Vec<(Key, Problem)>,
    /// Where in `resource` the objects were named that are being walked through, outermost first.
    walk: Vec<Visit>,
}

struct Visit {
    key: Key,
    at: Pos,
    path: Box<str>,
}

// === impl Link ===

impl<'s, 'a> Link<'s, 'a> {
    /// A link from `resource` to whatever it names.
    pub(super) fn new(scope: &'s Scope<'a>, memo: &'s Memo, resource: &'a Resource) -> Self {
        Self {
            scope,
            memo,
            resource,
            backends: Vec::new(),
            said: Vec::new(),
            problems: Vec::new(),
            told: Vec::new(),
            walk: Vec::new(),
        }
    }

    /// The namespace of whoever refers.
    pub(super) fn namespace(&self) -> &'a str {
        self.resource.namespace()
    }

    /// A resource looked at alone.
    pub(super) fn prepared(&self, resource: &Arc<Resource>) -> Option<&'s Value> {
        self.memo.prepared(resource).map(|prepared| &prepared.value)
    }

    /// Says something about a place. Inside another resource, what is said is pinned to the
    /// reference that led there; that resource says it about itself too.
    pub(super) fn say(
        &mut self,
        severity: Severity,
        at: Pos,
        path: &str,
        message: &str,
        fix: Option<String>,
    ) {
        self.tell(severity, at, path, message, fix.map(Fix::from));
    }

    /// The same with what follows from all resources.
    pub(super) fn tell(
        &mut self,
        severity: Severity,
        at: Pos,
        path: &str,
        message: &str,
        fix: Option<Fix>,
    ) {
        let mut problem = match (self.walk.first(), self.walk.last()) {
            (Some(outer), Some(inner)) => {
                let message = format!("{}: {message}", inner.key);
                Problem::new(severity, &self.resource.file, outer.at, &*outer.path, message)
            }
            _ => Problem::new(severity, &self.resource.file, at, path, message),
        };
        if let Some(fix) = fix {
            fix.apply(&mut problem);
        }
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Says what keeps something from being served, and answers the refusal.
    pub(super) fn refuse(
        &mut self,
        reason: Reason,
        at: Pos,
        path: &str,
        missing: Missing,
    ) -> Refusal {
        let detail = match reason {
            Reason::PolicyUnenforceable => format!("not served (503): {}", missing.message),
            _ => format!("answered {}: {}", reason.status(), missing.message),
        };
        self.tell(Severity::Error, at, path, &detail, missing.fix);
        let at = self.walk.first().map_or(at, |visit| visit.at);
        let line = self.scope.line(self.resource, at);
        let detail = format!("{} ({}:{line})", missing.message, self.resource.file);
        Refusal { reason, detail: detail.into() }
    }

    /// A target that answers why there is none.
    pub(super) fn no_target(&mut self, at: Pos, path: &str, missing: Missing) -> Target {
        Target::Refuse(self.refuse(Reason::NoEndpoint, at, path, missing))
    }

    /// Adds a backend and answers its id.
    pub(super) fn backend(&mut self, backend: Backend) -> BackendId {
        let id = backend.id.clone();
        if !self.backends.iter().any(|known| known.id == id) {
            self.backends.push(Arc::new(backend));
        }
        id
    }

    /// Adds a backend that is called as documents about its service say, besides `parts` of its own
    /// settings that are written at `at`.
    ///
    /// # Errors
    ///
    /// What is missing, where a document asks for protection that cannot be had.
    pub(super) fn call(
        &mut self,
        ask: Ask<'_>,
        backend: Backend,
        parts: &[(Part, &'static str)],
        at: Pos,
    ) -> Result<BackendId, Missing> {
        let at = self.walk.first().map_or(at, |visit| visit.at);
        let resource = self.resource;
        let from =
            |field| From { resource, field, at, first_line: self.scope.first_line(resource) };
        let parts = parts.iter().map(|(part, field)| (*part, from(field))).collect();
        let calling = Calling::clone(&backend.calling);
        let base = Base { calling, parts, is_last_word: false };
        let mut out = Output::default();
        let called = gateway::called(self.scope, ask, base, backend, &mut out);
        for (key, problems) in out.problems {
            for problem in problems {
                match key == self.resource.key {
                    true if self.problems.contains(&problem) => {}
                    true => self.problems.push(problem),
                    false => self.told.push((key.clone(), problem)),
                }
            }
        }
        let (backend, said) =
            called.map_err(|refusal| Missing::because(refusal.detail.to_string()))?;
        let id = self.backend(backend);
        if !self.said.iter().any(|(known, _)| *known == id) {
            self.said.push((id.clone(), said));
        }
        Ok(id)
    }

    /// Walks into another resource, unless that goes round in a circle.
    pub(super) fn enter<T>(
        &mut self,
        other: &Resource,
        at: Pos,
        path: &str,
        walk: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, Missing> {
        let is_circle =
            other.key == self.resource.key || self.walk.iter().any(|visit| visit.key == other.key);
        if is_circle || self.walk.len() >= DEPTH_MAX {
            let message = format!("{} refers to itself", other.key);
            return Err(Missing::because(message));
        }
        self.walk.push(Visit { key: other.key.clone(), at, path: path.into() });
        let result = walk(self);
        self.walk.pop();
        Ok(result)
    }

    /// The steps of a list of middlewares.
    ///
    /// # Errors
    ///
    /// A refusal when one of them protects and cannot be enforced: missing, broken or not
    /// supported.
    pub(super) fn steps(
        &mut self,
        references: &[ObjectRef],
        home: Home<'_>,
        path: &str,
        place: &str,
    ) -> Result<Vec<Arc<Step>>, Refusal> {
        let mut steps = Vec::new();
        let mut refusal = None;
        for (index, reference) in references.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match self.middleware(reference, home, &path, place) {
                Ok(more) => steps.extend(more),
                // The rest is looked at all the same, to report everything at once.
                Err(why) => refusal = refusal.or(Some(why)),
            }
        }
        refusal.map_or(Ok(steps), Err)
    }

    fn middleware(
        &mut self,
        reference: &ObjectRef,
        home: Home<'_>,
        path: &str,
        place: &str,
    ) -> Result<Vec<Arc<Step>>, Refusal> {
        let unenforceable = Reason::PolicyUnenforceable;
        let found = match locate(self.scope, "Middleware", home, reference) {
            Ok(found) => found,
            Err(missing) => return Err(self.refuse(unenforceable, reference.at, path, missing)),
        };
        let entered = self.enter(found, reference.at, path, |link| link.steps_of(found, place));
        let why = match entered {
            Ok(Ok(steps)) => return Ok(steps),
            Ok(Err(Some(refusal))) => return Err(refusal),
            Ok(Err(None)) => Missing {
                message: format!(
                    "middleware `{}` ({}:{}) cannot be enforced: {}",
                    label(found),
                    found.file,
                    self.scope.line(found, Pos::FIRST),
                    self.why_broken(found)
                ),
                fix: Some("correct what is said about it".into()),
            },
            Err(circle) => circle,
        };
        Err(self.refuse(unenforceable, reference.at, path, why))
    }

    /// The steps of one middleware; `Err(None)` when it is broken by itself.
    pub(super) fn steps_of(
        &mut self,
        middleware: &'a Arc<Resource>,
        place: &str,
    ) -> Result<Vec<Arc<Step>>, Option<Refusal>> {
        let Some(prepared) = self.memo.prepared(middleware) else { return Err(None) };
        let Kind::Middleware(body) = &middleware.body else { return Err(None) };
        match &prepared.value {
            Value::Middleware(Prepared::Shared(steps)) => Ok(steps.clone()),
            Value::Middleware(Prepared::Counting(kind)) => {
                let id = format!("{}@{place}", middleware::id(middleware));
                Ok(vec![Arc::new(Step { id: PolicyId::new(id), kind: kind.clone() })])
            }
            Value::Middleware(Prepared::Chain) => {
                let MiddlewareKind::Chain(members) = &body.kind else { return Err(None) };
                let path = middleware::path(middleware, "chain.middlewares");
                self.steps(members, Home::of(middleware), &path, place).map_err(Some)
            }
            Value::Middleware(Prepared::Linked) => {
                auth::step(self, middleware, &body.kind).map(|step| vec![step]).map_err(Some)
            }
            _ => Err(None),
        }
    }

    fn why_broken(&self, resource: &Arc<Resource>) -> String {
        match self.memo.prepared(resource).map(|prepared| &prepared.value) {
            Some(Value::Middleware(Prepared::Unenforceable(why))) => why.clone(),
            _ => "it is not valid".into(),
        }
    }
}

/// A step that answers instead of what could not be built.
pub(super) fn refusing(id: String, refusal: Refusal) -> Arc<[Arc<Step>]> {
    let step = Step { id: PolicyId::new(id), kind: StepKind::Refuse(refusal) };
    [Arc::new(step)].into()
}
