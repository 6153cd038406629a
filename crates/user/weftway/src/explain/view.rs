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
            Arrives::Workload(name) => format!("at {name}, from others"),
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
        hints: hints(snapshot, question, explanation),
        others: Vec::new(),
        by: None,
        otherwise: Vec::new(),
    }
}

/// What to do where a call goes nowhere.
fn hints(snapshot: &Snapshot, question: &Question, explanation: &Explanation) -> Vec<String> {
    let mut hints = Vec::new();
    let is_sent = !matches!(explanation.arrives, Arrives::Listener(_) | Arrives::Nowhere);
    if is_sent && question.head.scheme().as_str() == "https" {
        hints.push(
            "an application that speaks TLS by itself opens a connection, of which its proxy sees no \
             request: rules for requests, retries and timeouts do not hold for it. With http:// its \
             proxy speaks TLS for it"
                .into(),
        );
        return hints;
    }
    match &explanation.arrives {
        Arrives::Unknown(host) => {
            let names: Vec<&str> = snapshot.services.iter().map(|one| one.name()).collect();
            let near = near(host, &names);
            if !near.is_empty() {
                hints.push(format!("the mesh knows {}", near.join(", ")));
            }
            if explanation.refused.is_none() {
                hints.push(
                    "what the mesh does not know goes where its name leads outside of it, if it \
                     leads anywhere (`--unknown refuse` of `weftway up` forbids it)"
                        .into(),
                );
            }
        }
        Arrives::Service(name) if explanation.candidates.is_empty() => {
            let name = name.rsplit_once(':').map_or(&**name, |(name, _)| name);
            let Some(service) = snapshot.services.get(name) else { return hints };
            let ports: Vec<u16> = service.entry().ports.iter().map(|port| port.number).collect();
            if !ports.contains(&question.port()) {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                let has = if ports.is_empty() { "none".into() } else { ports.join(", ") };
                hints.push(format!("{name} has no port {}; it has {has}", question.port()));
            }
        }
        _ => {}
    }
    hints
}

/// The services of the mesh that a host is most like: those of that name in other namespaces, or
/// else the one with the nearest name.
fn near<'n>(host: &str, names: &[&'n str]) -> Vec<&'n str> {
    let first = |name: &'n str| name.split('.').next().unwrap_or_default();
    let label = host.split('.').next().unwrap_or_default();
    let same = |wanted: &str| names.iter().copied().filter(|name| first(name) == wanted).collect();
    let found: Vec<&str> = same(label);
    if !found.is_empty() {
        return found;
    }
    let labels = names.iter().map(|name| first(name));
    weft_resources::read::nearest(label, labels).map(same).unwrap_or_default()
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
        listener: sample.listener.to_string(),
        by: None,
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
        place: match (&*route.origin.kind, &*route.origin.name) {
            ("Workload", "unknown") => "nothing that the mesh knows".into(),
            _ => words::place(&route.origin, considered.line),
        },
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
        refuses: None,
    };
    LeadView {
        backend: lead.backend.to_string(),
        percent: lead.percent,
        role: lead.role.into(),
        calling: lead.calling.iter().map(policy).collect(),
        arrival: Vec::new(),
        endpoints: lead.endpoints().iter().map(endpoint).collect(),
        found_by: match lead.settings.as_ref().map(|settings| &settings.endpoints) {
            None => Some("nothing: the backend does not exist".into()),
            Some(Endpoints::Static(list)) if list.is_empty() && state.is_none() => {
                Some("workloads that run, which files alone do not tell".into())
            }
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
