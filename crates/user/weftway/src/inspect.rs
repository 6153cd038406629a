//! What a proxy that runs answers about requests: what would become of one, what became of recent
//! ones. Who asks is in [`crate::ask`].

use std::net::SocketAddr;

use axum::http::StatusCode;
use tokio::sync::mpsc;
use weft_admin_api::explain::SampleView;
use weft_admin_api::{ExplanationView, RecentView};
use weft_explain::{InvalidQuestion, Question, Standpoint, unlearned};
use weft_model::Snapshot;
use weft_model::id::{BackendId, ListenerId, ServiceName};
use weft_model::listener::{Destination, Direction, Intake};
use weft_proxy::sample::Samples;
use weft_upstream::shared::Shared;

use crate::explain::view;

/// The socket of a proxy's admin endpoint in its folder. `admin.sock` is the control plane's, which
/// may have the same folder.
pub(crate) const SOCKET: &str = "proxy.sock";

/// What a proxy answers from besides its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Inspect {
    /// Where its requests are made.
    pub(crate) standpoint: Standpoint,
    /// Its recent requests.
    pub(crate) samples: Samples,
    /// How its endpoints stand.
    pub(crate) shared: Shared,
    /// Where services are asked for that nobody has called so far.
    pub(crate) demand: Option<mpsc::UnboundedSender<ServiceName>>,
}

/// A recent request, to be explained.
pub(crate) struct Past {
    /// What became of it.
    pub(crate) seen: SampleView,
    /// What became of others of its id.
    pub(crate) others: Vec<SampleView>,
    /// The question that asks for it again.
    pub(crate) question: Question,
}

/// Why a proxy has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The question is none.
    #[error(transparent)]
    Question(#[from] InvalidQuestion),
    /// Nobody has seen that request, or it is too long ago.
    #[error("no request `{0}` is among the recent ones: the last few hundred of each worker")]
    NoRequest(String),
    /// Neither a request nor an id.
    #[error("say which request (`request=GET http://host/path`) or its id (`id=...`)")]
    Nothing,
    /// Where it is said to arrive is nowhere.
    #[error("`{0}` is no address with a port, as in `arrives=10.77.0.2:8080`")]
    Address(String),
    /// Another proxy serves what is sent there, or none.
    #[error("what is sent to {0} does not come to this proxy")]
    NotHere(SocketAddr),
    /// It has only just started.
    #[error("there is no configuration yet")]
    NoConfiguration,
}

// === impl Inspect ===

impl Inspect {
    /// The same, where services are asked for that nobody has called so far.
    pub(crate) fn which_asks(self, demand: mpsc::UnboundedSender<ServiceName>) -> Self {
        Self { demand: Some(demand), ..self }
    }

    /// The service that a request is meant for, of which no more is known than its name.
    pub(crate) fn unlearned(
        &self,
        snapshot: &Snapshot,
        question: &Question,
    ) -> Option<ServiceName> {
        unlearned(snapshot, &self.standpoint, question)
    }

    /// Asks for that service. Whether an answer is to be waited for.
    pub(crate) fn demands(&self, snapshot: &Snapshot, question: &Question) -> bool {
        let demand = self.demand.as_ref().zip(self.unlearned(snapshot, question));
        demand.is_some_and(|(demand, service)| demand.send(service).is_ok())
    }

    /// What would become of a request under `snapshot`.
    pub(crate) fn explain(&self, snapshot: &Snapshot, question: &Question) -> ExplanationView {
        let explanation = weft_explain::explain(snapshot, &self.standpoint, question);
        let state = |backend: &_, addr| Some(self.state(backend, addr));
        let mut view = view::explanation(question, snapshot, &explanation, Some(&state));
        if let Some(service) = self.unlearned(snapshot, question) {
            view.hints.push(format!(
                "this proxy knows no more of {service} than its name: no control plane has told"
            ));
        }
        view
    }

    /// How an endpoint stands, in words.
    fn state(&self, backend: &BackendId, addr: SocketAddr) -> String {
        let Some(standing) = self.shared.standing(backend, addr) else {
            return "not used yet".into();
        };
        let mut words = Vec::new();
        words.extend((!standing.is_healthy).then(|| "unhealthy".to_owned()));
        words.extend(standing.is_set_aside.then(|| "set aside".to_owned()));
        let is_fit = words.is_empty();
        words.extend(is_fit.then(|| "usable".to_owned()));
        let busy = (standing.requests > 0).then(|| format!("{} requests", standing.requests));
        words.extend(busy);
        words.join(", ")
    }

    /// The recent request of that id. Of several the latest that was sent from here; what else is
    /// known of that id comes with it.
    pub(crate) fn past(&self, id: &str) -> Result<Past, NoAnswer> {
        let mut samples = self.samples.find(id);
        // A workload that is called and passes the id on is asked about what it sends.
        samples.sort_by_key(|sample| sample.direction == Some(Direction::Inbound));
        let mut seen = samples.iter().map(view::sample);
        let first = seen.next().ok_or_else(|| NoAnswer::NoRequest(id.to_owned()))?;
        Ok(Past { question: question(&first)?, seen: first, others: seen.collect() })
    }

    /// What became of a recent request, and what would become of it under `snapshot`.
    pub(crate) fn explain_past(&self, snapshot: &Snapshot, past: Past) -> ExplanationView {
        let Past { seen, others, question } = past;
        let view = self.explain(snapshot, &question);
        ExplanationView { past: Some(seen), others, ..view }
    }

    /// The recent requests, the newest first.
    pub(crate) fn recent(&self) -> RecentView {
        RecentView { requests: self.samples.recent().iter().map(view::sample).collect() }
    }
}

// === impl NoAnswer ===

impl NoAnswer {
    /// The status that it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Question(_) | Self::Nothing | Self::Address(_) => StatusCode::BAD_REQUEST,
            // Not what a proxy says that has no such path at all.
            Self::NoRequest(_) | Self::NotHere(_) => StatusCode::GONE,
            Self::NoConfiguration => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The listener of what others send to the workload at that address.
pub(crate) fn inbound(snapshot: &Snapshot, addr: SocketAddr) -> Option<ListenerId> {
    let rank = |destination: &Destination| {
        let is_meant = destination.direction == Direction::Inbound
            && destination.addrs.contains(&addr.ip())
            && destination.port.is_none_or(|port| port == addr.port());
        is_meant.then_some(destination.port.is_some())
    };
    let ranked = snapshot.listeners.iter().filter_map(|listener| match &listener.intake {
        Intake::Destination(destination) => Some((rank(destination)?, &listener.id)),
        _ => None,
    });
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, id)| id.clone())
}

/// The question that asks for a recent request again.
pub(crate) fn question(past: &SampleView) -> Result<Question, InvalidQuestion> {
    let mut question = Question::parse(&past.request, past.headers.iter().map(String::as_str))?;
    question.client = past.client.ip();
    // What is sent from a workload goes where it is led, wherever that is by then.
    let is_sent = past.direction == "outbound" || past.listener.is_empty();
    question.listener = (!is_sent).then(|| ListenerId::new(past.listener.as_str()));
    question.peer = past.identity.as_deref().map(Into::into);
    Ok(question)
}
