//! Explanations as they are written to JSON.

use std::net::SocketAddr;
use std::time::SystemTime;

use weft_admin_api::ExplanationView;
use weft_admin_api::explain::{LeadEndpointView, LeadView, PolicyView, RuleView, SampleView};
use weft_explain::Question;
use weft_explain::answer::{Arrives, Considered, Explanation, Lead};
use weft_explain::words::{self, Said};
use weft_model::Snapshot;
use weft_model::backend::{Endpoint, Endpoints};
use weft_model::id::BackendId;
use weft_model::listener::Direction;
use weft_proxy::sample::Sample;
use weft_route::Verdict;

/// The verdict of the rule that takes a request.
pub(crate) const WINS: &str = "wins";

/// What a proxy that runs knows of an endpoint.
pub(crate) type EndpointState<'a> = &'a dyn Fn(&BackendId, SocketAddr) -> Option<String>;

/// An explanation; `state` is what a proxy that runs says of endpoints.
pub(crate) fn explanation(
    question: &Question,
    snapshot: &Snapshot,
    explanation: &Explanation,
    state: Option<EndpointState<'_>>,
) -> ExplanationView {
    ExplanationView {
        request: question.words(),
        arrives: match &explanation.arrives {
            Arrives::Listener(id) => format!("at the listener {id}"),
            Arrives::Service(name) => format!("as a call of {name}"),
            Arrives::Unknown(host) => format!("as a call of {host}, which the mesh does not know"),
            Arrives::Nowhere => "nowhere: nothing listens there".into(),
        },
        generation: snapshot.generation.0,
        rules: explanation.candidates.iter().map(rule).collect(),
        policies: explanation.policies.iter().map(policy).collect(),
        leads: explanation.leads.iter().map(|one| lead(one, state)).collect(),
        refused: explanation.refused.as_ref().map(|refusal| {
            format!("{} ({}): {}", refusal.reason.status(), refusal.reason.label(), refusal.detail)
        }),
        past: None,
    }
}

/// A recent request.
pub(crate) fn sample(sample: &Sample) -> SampleView {
    let head = &sample.head;
    let (scheme, method) = (if sample.tls { "https" } else { "http" }, head.method().as_str());
    let header =
        |(name, value): (&str, &[u8])| format!("{name}: {}", String::from_utf8_lossy(value));
    SampleView {
        at_unix_secs: sample
            .at
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        request: format!("{method} {scheme}://{}{}", head.authority(), head.path_and_query()),
        headers: head.fields.iter().map(header).collect(),
        direction: match sample.direction {
            Some(Direction::Outbound) => "outbound",
            Some(Direction::Inbound) => "inbound",
            None => "",
        }
        .into(),
        client: sample.client,
        identity: sample.peer.as_deref().map(Into::into),
        request_id: sample.request_id.as_deref().map(Into::into),
        generation: sample.generation.0,
        route: sample.route.as_ref().map(ToString::to_string),
        backend: sample.backend.as_ref().map(ToString::to_string),
        endpoint: sample.upstream,
        status: sample.status,
        reason: sample.reason.label().into(),
        detail: sample.detail.as_deref().map(Into::into),
        attempts: sample.attempts,
        duration_ms: sample.duration.as_secs_f64() * 1e3,
    }
}

fn rule(considered: &Considered) -> RuleView {
    let route = &considered.candidate.route;
    RuleView {
        id: route.id.to_string(),
        place: words::place(&route.origin, considered.line),
        rule: route.origin.rule.to_string(),
        verdict: match &considered.candidate.verdict {
            Verdict::Taken => WINS.into(),
            Verdict::Outranked => "outranked".into(),
            Verdict::Failed(failure) if failure.found.is_empty() => {
                format!("wants {}, and there is none", failure.wanted)
            }
            Verdict::Failed(failure) => {
                format!("wants {}, and finds `{}`", failure.wanted, failure.found)
            }
        },
    }
}

fn policy(said: &Said) -> PolicyView {
    let Said { name, value, source } = said;
    PolicyView { name: name.to_string(), value: value.clone(), source: source.to_string() }
}

fn lead(lead: &Lead, state: Option<EndpointState<'_>>) -> LeadView {
    let endpoint = |endpoint: &Endpoint| LeadEndpointView {
        addr: endpoint.addr,
        weight: endpoint.weight,
        tier: endpoint.tier,
        locality: endpoint.locality.as_deref().map(Into::into),
        identity: endpoint.peer.as_ref().map(|peer| peer.identity.to_string()),
        state: state.and_then(|state| state(&lead.backend, endpoint.addr)),
    };
    LeadView {
        backend: lead.backend.to_string(),
        percent: lead.percent,
        role: lead.role.into(),
        calling: lead.calling.iter().map(policy).collect(),
        endpoints: lead.endpoints().iter().map(endpoint).collect(),
        found_by: match lead.settings.as_ref().map(|settings| &settings.endpoints) {
            None => Some("nothing: the backend does not exist".into()),
            Some(Endpoints::Static(_)) => None,
            Some(Endpoints::Dns { name, port }) => Some(format!("DNS, {name}:{port}")),
            Some(Endpoints::Dialled | Endpoints::DialledThrough(_)) => {
                Some("the address that was dialled".into())
            }
            Some(Endpoints::Service { name, port, subset }) => {
                let subset = subset.as_ref().map(|subset| format!(", subset {subset}"));
                Some(format!("the mesh, {name}:{port}{}", subset.unwrap_or_default()))
            }
        },
    }
}
