//! Asking proxies that run, by their admin endpoints: what would become of a request, what became
//! of recent ones.

mod arrival;
mod door;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::bail;
use weft_admin_api::explain::{LeadEndpointView, SampleView};
use weft_admin_api::{ExplanationView, RecentView};

use crate::args::WhereArgs;
use crate::folder;

use door::{Door, Unasked};

/// Whose recent requests those of the gateway are.
pub(crate) const GATEWAY: &str = "the gateway";

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// What would become of a request.
    Request {
        /// The request.
        request: String,
        /// `name: value` each.
        headers: Vec<String>,
    },
    /// What became of the request of this id, and what would become of it now.
    Id(String),
}

/// The answer of the proxy or gateway that is meant, and why others that were asked have none.
///
/// # Errors
///
/// When nobody answers, or nobody knows.
pub(crate) async fn explain(
    at: &WhereArgs,
    asked: &Asked,
) -> anyhow::Result<(ExplanationView, Vec<String>)> {
    let doors = doors(at, asked).await?;
    let path = asked.path();
    let (mut views, mut silent, mut ignorant) = (Vec::new(), Vec::new(), Vec::new());
    for door in &doors {
        match door.get::<ExplanationView>(&path).await {
            Ok(view) => views.push(signed(view, &door.by)),
            Err(Unasked::Unknown(why)) => ignorant.push((door.by.as_str(), why)),
            Err(Unasked::Other(error)) => silent.push(format!("{error:#}")),
        }
    }
    if views.is_empty() {
        return Err(nobody(asked, &ignorant, &silent));
    }
    let mut view = match asked {
        Asked::Request { .. } => agreed(views),
        Asked::Id(_) => traced(views),
    };
    if let (Asked::Request { .. }, Some(from)) = (asked, &at.from) {
        let state = folder::path(at.state.as_deref());
        arrival::look(&mut view, &state, from, &path).await;
    }
    Ok((view, silent))
}

/// The recent requests of every proxy of the mesh below `state`, with the workload beside it
/// (`shop/checkout`, or [`GATEWAY`]), and why others have told nothing.
pub(crate) async fn recent(state: &Path) -> (Vec<(String, RecentView)>, Vec<String>) {
    let (mut all, mut silent) = (Vec::new(), Vec::new());
    for door in door::proxies(state).await.into_iter().chain(door::gateway(state)) {
        match door.get::<RecentView>("/recent").await {
            Ok(view) => all.push((door.by, view)),
            Err(error) => silent.push(error.to_string()),
        }
    }
    (all, silent)
}

/// The endpoints that are meant.
async fn doors(at: &WhereArgs, asked: &Asked) -> anyhow::Result<Vec<Door>> {
    if let Some(admin) = &at.admin {
        return Ok(vec![Door::at(admin)]);
    }
    let state = folder::path(at.state.as_deref());
    if !state.exists() {
        bail!(
            "no mesh runs in {}: start one with `weftway up`, name its folder with --state, a \
             gateway by itself with --admin HOST:PORT, or documents with --file",
            state.display()
        );
    }
    folder::check(&state)?;
    let proxies = door::proxies(&state).await;
    let running = || {
        let names: Vec<&str> = proxies.iter().map(|door| &*door.by).collect();
        if names.is_empty() { "none does".to_owned() } else { names.join(", ") }
    };
    let Some(from) = &at.from else {
        let gateway = door::gateway(&state);
        return match asked {
            Asked::Id(_) => Ok(gateway.into_iter().chain(proxies).collect()),
            Asked::Request { .. } if gateway.is_some() => Ok(gateway.into_iter().collect()),
            Asked::Request { .. } => bail!(
                "no gateway runs in the mesh of {}: say with --from which workload makes the call \
                 (those that run: {}), or where a gateway is with --admin HOST:PORT",
                state.display(),
                running()
            ),
        };
    };
    let (exact, instances) = (crate::offline::name(from), door::is_instance_of(from));
    let is_meant = |door: &&Door| door.by == exact || instances(&door.by);
    let found: Vec<Door> = proxies.iter().filter(is_meant).cloned().collect();
    if found.is_empty() {
        bail!(
            "no workload `{from}` runs in the mesh of {} (those that run: {})",
            state.display(),
            running()
        );
    }
    Ok(found)
}

fn signed(view: ExplanationView, by: &str) -> ExplanationView {
    let sign = |sample: SampleView| SampleView { by: Some(by.to_owned()), ..sample };
    let others = view.others.into_iter().map(sign).collect();
    ExplanationView { by: Some(by.to_owned()), past: view.past.map(sign), others, ..view }
}

/// The first answer, and those that are others.
fn agreed(views: Vec<ExplanationView>) -> ExplanationView {
    let mut views = views.into_iter();
    let Some(first) = views.next() else { return ExplanationView::default() };
    let otherwise = views.filter(|view| substance(view) != substance(&first)).collect();
    ExplanationView { otherwise, ..first }
}

/// What of an answer is not of the moment.
fn substance(view: &ExplanationView) -> ExplanationView {
    let mut substance =
        ExplanationView { generation: 0, by: None, otherwise: Vec::new(), ..view.clone() };
    for endpoint in substance.leads.iter_mut().flat_map(|lead| &mut lead.endpoints) {
        let is_out = |endpoint: &LeadEndpointView| {
            let state = endpoint.state.as_deref().unwrap_or_default();
            ["set aside", "unhealthy"].iter().any(|word| state.contains(word))
        };
        endpoint.state = is_out(endpoint).then(|| "out".to_owned());
    }
    substance
}

/// The answer of who has sent the request first, with what the others have seen of it.
fn traced(mut views: Vec<ExplanationView>) -> ExplanationView {
    // Whoever calls waits for all that follows, so the first takes longest.
    let order = |past: &Option<SampleView>| {
        let past = past.as_ref();
        let micros = past.map_or(0, |past| (past.duration_ms * 1e3) as u64);
        (past.is_some_and(|past| past.direction == "inbound"), std::cmp::Reverse(micros))
    };
    views.sort_by_key(|view| order(&view.past));
    let mut views = views.into_iter();
    let Some(mut first) = views.next() else { return ExplanationView::default() };
    for view in views {
        first.others.extend(view.past.into_iter().chain(view.others));
    }
    first.others.sort_by_key(|past| std::cmp::Reverse((past.duration_ms * 1e3) as u64));
    first
}

/// Why there is no answer at all.
fn nobody(asked: &Asked, ignorant: &[(&str, String)], silent: &[String]) -> anyhow::Error {
    let mut text = match (asked, ignorant) {
        (_, []) => String::new(),
        (Asked::Id(id), all) => {
            let names: Vec<&str> = all.iter().map(|(by, _)| *by).collect();
            format!(
                "no request `{id}` is among the recent ones of {}: each worker keeps the last few \
                 hundred, and ids are those of `x-request-id`",
                names.join(", ")
            )
        }
        (Asked::Request { .. }, [(_, why), ..]) => why.clone(),
    };
    for why in silent {
        let between = if text.is_empty() { "" } else { "; " };
        text = format!("{text}{between}{why}");
    }
    if text.is_empty() {
        text = "there is no proxy to ask (see --from, --admin)".into();
    }
    anyhow::anyhow!(text)
}

// === impl Asked ===

impl Asked {
    fn path(&self) -> String {
        match self {
            Self::Request { request, headers } => {
                let headers = headers.iter().map(|header| format!("&header={}", escaped(header)));
                format!("/explain?request={}{}", escaped(request), headers.collect::<String>())
            }
            Self::Id(id) => format!("/explain?id={}", escaped(id)),
        }
    }
}

/// Text as it stands in a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
