//! What other dialects borrow: middlewares, services and TLS options that their filters and
//! annotations name.

use std::sync::Arc;

use weft_model::listener::TlsOptions;
use weft_model::policy::{Refusal, Step};
use weft_model::route::Target;
use weft_resources::Resource;
use weft_resources::traefik::ObjectRef;
use weft_resources::traefik::route::RouterTls;
use weft_resources::traefik::service::ServiceRef;

use super::link::Link;
use super::locate::Home;
use super::{Memo, service, tls};
use crate::context::{Context, Output};

/// Who borrows: what it names is looked up and reported on its behalf.
#[derive(Clone, Copy)]
pub(crate) struct Borrower<'a> {
    /// Where names are looked up.
    pub(crate) context: &'a Context<'a>,
    /// The middlewares, looked at alone.
    pub(crate) memo: &'a Memo,
    /// The resource that names something.
    pub(crate) resource: &'a Arc<Resource>,
}

// === impl Borrower ===

impl Borrower<'_> {
    /// The steps of middlewares named at `path`; those that count do so under `place`.
    ///
    /// # Errors
    ///
    /// A refusal when one of them cannot be enforced; the reason was reported.
    pub(crate) fn middlewares(
        self,
        references: &[ObjectRef],
        path: &str,
        place: &str,
        output: &mut Output,
    ) -> Result<Vec<Arc<Step>>, Refusal> {
        self.link(output, |link, home| link.steps(references, home, path, place))
    }

    /// The target of a service named at `path`, and the steps of its own middlewares.
    ///
    /// # Errors
    ///
    /// As [`Borrower::middlewares`]. A service that is missing is a target that answers so.
    pub(crate) fn service(
        self,
        service: &ServiceRef,
        path: &str,
        place: &str,
        output: &mut Output,
    ) -> Result<(Target, Vec<Arc<Step>>), Refusal> {
        self.link(output, |link, home| {
            let steps = link.steps(&service.middlewares, home, path, place)?;
            Ok((service::target(link, service, home, path), steps))
        })
    }

    /// The TLS options that `tls` names with their name, or the usual ones without.
    ///
    /// # Errors
    ///
    /// A refusal when they cannot be enforced; the reason was reported.
    pub(crate) fn tls_options(
        self,
        tls: &RouterTls,
        path: &str,
        output: &mut Output,
    ) -> Result<(Option<Box<str>>, Arc<TlsOptions>), Refusal> {
        self.link(output, |link, home| {
            let used = tls::Use::new(link, home, tls, path)?;
            Ok((used.options_name().map(Into::into), used.options()))
        })
    }

    fn link<T>(
        self,
        output: &mut Output,
        look_up: impl FnOnce(&mut Link<'_, '_>, Home<'_>) -> T,
    ) -> T {
        let scope = self.context.scope();
        let mut link = Link::new(&scope, self.memo, self.resource);
        let found = look_up(&mut link, Home::of(self.resource));
        for backend in link.backends {
            output.backend(backend);
        }
        for (id, said) in link.said {
            output.said.entry(id).or_insert(said);
        }
        for problem in link.problems {
            output.problem(&self.resource.key, problem);
        }
        for (key, problem) in link.told {
            output.problem_once(&key, &problem);
        }
        found
    }
}
