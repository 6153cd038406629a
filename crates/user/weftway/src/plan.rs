//! `weftway plan`: what a change of documents would change, before it is made.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use weft_admin_api::base::WorkloadView;
use weft_admin_api::{BaseView, RecentView};
use weft_compile::{EntryPoint, MeshOptions, Options};
use weft_explain::plan::Weight;
use weft_explain::{Difference, Question, Standpoint, plan};
use weft_model::Snapshot;
use weft_model::identity::TrustDomain;
use weft_model::mesh::{Phase, Registered, RegisteredPort, RegisteredWorkload};
use weft_resources::{Key, ResourceSet};
use weft_runtime::worker;
use weft_source_file::{FileSource, Files};

use crate::args::{ListFormat, PlanArgs};
use crate::documents::Documents;
use crate::offline::Stage;
use crate::status::StatusClient;
use crate::table::table;
use crate::up::GATEWAY;
use crate::{ask, eprint_line, folder, inspect, offline, print_line};

/// The documents as they are, and who is there.
#[derive(Default)]
struct Base {
    set: ResourceSet,
    registered: Registered,
    domain: Option<String>,
    trust_domain: Option<String>,
    /// What proxies have seen of late, by their workloads.
    recent: Vec<(String, RecentView)>,
    /// Whether this is a mesh that runs.
    runs: bool,
}

/// A difference, and whose: a gateway's, or the workload's that makes the call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
struct Line {
    weight: &'static str,
    who: String,
    subject: String,
    what: String,
}

/// Prints what would be different; the exit code is 1 when something would be lost.
pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let change = read(&args.change)?;
    let base = match args.against.is_empty() {
        true => worker::block_on(running(args.state.as_deref()))
            .context("the runtime cannot be started")??,
        false => Base { set: read(&args.against)?, ..Base::default() },
    };
    let gone = gone(&args.without, &base.set)?;
    let after = base.set.overlaid(&change, |key| gone.contains(key));
    for problem in change.problems() {
        eprint_line(&problem.render(change.line_of(&problem)));
    }
    let lines = compare(&base, &after);
    match args.output {
        ListFormat::Table => print_line(&render(&lines)),
        ListFormat::Json => print_line(&serde_json::to_string_pretty(&lines)?),
    }
    let loses = lines.iter().any(|line| line.weight == weight(Weight::Lost));
    let is_broken = change.problems().iter().any(weft_resources::Problem::is_error);
    Ok(if loses || is_broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a running mesh is made of.
async fn running(state: Option<&Path>) -> anyhow::Result<Base> {
    let client = StatusClient::new(state);
    let view: BaseView = client.show("/base").await.context(
        "there is no running mesh to compare with; name the documents as they are: --against PATH",
    )?;
    let files: Vec<PathBuf> = view.files.iter().map(PathBuf::from).collect();
    let (recent, silent) = ask::recent(&folder::path(state)).await;
    for why in silent {
        eprint_line(&format!("warning: without what it has seen of late: {why}"));
    }
    Ok(Base {
        set: read(&files)?,
        registered: view.workloads.iter().map(workload).collect(),
        domain: Some(view.domain),
        trust_domain: Some(view.trust_domain),
        recent,
        runs: true,
    })
}

fn workload(view: &WorkloadView) -> RegisteredWorkload {
    let port = |(number, name, protocol): &(u16, String, Option<String>)| RegisteredPort {
        number: *number,
        name: name.as_str().into(),
        app_protocol: protocol.as_deref().map(Into::into),
    };
    let text = |text: &String| Box::<str>::from(text.as_str());
    RegisteredWorkload {
        namespace: text(&view.namespace),
        name: text(&view.name),
        service: text(&view.service),
        labels: view.labels.iter().map(|(name, value)| (text(name), text(value))).collect(),
        service_account: text(&view.service_account),
        addrs: view.addrs.as_slice().into(),
        ports: view.ports.iter().map(port).collect(),
        proxy: view.proxy,
        zone: view.zone.as_ref().map(text),
        phase: if view.is_ready { Phase::Ready } else { Phase::Unready },
    }
}

fn read(paths: &[PathBuf]) -> anyhow::Result<ResourceSet> {
    for path in paths {
        std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
    }
    let mut documents = Documents::default();
    documents.read(&FileSource::new(paths.to_vec(), Vec::new()).read(&Files::default()));
    Ok(documents.set().clone())
}

/// The documents that would go.
fn gone(names: &[String], set: &ResourceSet) -> anyhow::Result<Vec<Key>> {
    names
        .iter()
        .map(|name| {
            let parts: Vec<&str> = name.split('/').collect();
            let found = set.resources().map(|resource| &resource.key).find(|key| {
                let (kind, namespace) = (&*key.kind, &*key.namespace);
                match *parts {
                    [wanted, home, name] => (kind, namespace, &*key.name) == (wanted, home, name),
                    [wanted, name] => kind == wanted && *key.name == *name,
                    _ => false,
                }
            });
            match found {
                Some(key) => Ok(key.clone()),
                None => bail!("there is no document `{name}`; write KIND/NAMESPACE/NAME"),
            }
        })
        .collect()
}

/// What would be different: at the gateway, and for calls from each workload or namespace.
fn compare(base: &Base, after: &ResourceSet) -> Vec<Line> {
    let name = base.trust_domain.as_deref().and_then(|name| TrustDomain::new(name).ok());
    let mut options = MeshOptions::new(name.unwrap_or_default());
    if let Some(domain) = &base.domain {
        options.domain = domain.as_str().into();
    }
    let was = Stage::new(&base.set, &base.registered, &options);
    let is = Stage::new(after, &base.registered, &options);
    let mut lines = gateway(base, (&was, &is), after);
    lines.extend(mesh(base, (&was, &is), &options.domain));
    lines.sort_by(|a, b| {
        (rank(b.weight), &a.subject, &a.what, &a.who).cmp(&(
            rank(a.weight),
            &b.subject,
            &b.what,
            &b.who,
        ))
    });
    lines
}

fn gateway(base: &Base, (was, is): (&Stage, &Stage), after: &ResourceSet) -> Vec<Line> {
    let mut options = options();
    if let Some(domain) = &base.domain {
        options.domain = domain.as_str().into();
    }
    let snapshot = |set: &ResourceSet, stage: &Stage| match base.runs {
        true => {
            let world = weft_compile::compile_in_mesh(set, &options, &stage.world.mesh.index, None);
            stage.settled(&world.snapshot, GATEWAY)
        }
        false => Snapshot::clone(&weft_compile::compile(set, &options, None).snapshot),
    };
    let (before, after) = (snapshot(&base.set, was), snapshot(after, is));
    let seen = recorded(base, ask::GATEWAY);
    let found = plan(&before, &after, &Standpoint::Gateway, &seen);
    found.into_iter().map(|difference| line("a gateway", difference)).collect()
}

/// Those of a gateway that is started without any.
fn options() -> Options {
    let entry_point = |name: &str, port: u16, tls| EntryPoint {
        name: name.into(),
        addr: (Ipv4Addr::UNSPECIFIED, port).into(),
        tls,
    };
    Options::new(vec![entry_point("web", 8080, false), entry_point("websecure", 8443, true)])
}

/// Compares what each caller would have. Callers for which the same is different are told as one.
fn mesh(base: &Base, (was, is): (&Stage, &Stage), domain: &str) -> Vec<Line> {
    let mut callers: BTreeMap<Line, Vec<String>> = BTreeMap::new();
    let mut count = 0;
    for caller in callers_of(base) {
        count += 1;
        let (namespace, name) = offline::caller(&caller);
        let standpoint =
            Standpoint::Workload { namespace: namespace.into(), domain: domain.into() };
        let recorded = recorded(base, offline::name(&caller));
        let before = was.snapshot(namespace, name, &[]);
        let after = is.snapshot(namespace, name, &[]);
        for difference in plan(&before, &after, &standpoint, &recorded) {
            callers.entry(line("", difference)).or_default().push(caller.clone());
        }
    }
    let who = |from: &[String]| match from {
        _ if from.len() == count => "all workloads".to_owned(),
        from => from.join(", "),
    };
    callers.into_iter().map(|(line, from)| Line { who: who(&from), ..line }).collect()
}

/// The workloads that run, or, where none is known, one of each namespace that documents speak of.
fn callers_of(base: &Base) -> Vec<String> {
    if !base.registered.workloads.is_empty() {
        return base.registered.workloads.keys().map(ToString::to_string).collect();
    }
    let mut namespaces: Vec<&str> =
        base.set.resources().map(|resource| resource.namespace()).collect();
    namespaces.push("default");
    namespaces.sort_unstable();
    namespaces.dedup();
    namespaces.retain(|namespace| !namespace.is_empty());
    namespaces.iter().map(|namespace| format!("{namespace}/any")).collect()
}

/// What the proxy of a workload has seen, or the gateway.
fn recorded(base: &Base, by: &str) -> Vec<Question> {
    let seen = base.recent.iter().filter(|(proxy, _)| proxy == by);
    let seen = seen.flat_map(|(_, recent)| &recent.requests);
    seen.filter_map(|request| inspect::question(request).ok()).collect()
}

fn line(who: &str, difference: Difference) -> Line {
    let Difference { weight: how, subject, what } = difference;
    Line { weight: weight(how), who: who.into(), subject, what }
}

fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Changed => "changes",
        Weight::Gone => "vanishes",
        Weight::Lost => "LOST",
    }
}

/// The gravest is the greatest.
fn rank(weight: &str) -> u8 {
    match weight {
        "LOST" => 2,
        "vanishes" => 1,
        _ => 0,
    }
}

fn render(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "nothing would be different".into();
    }
    let row = |line: &Line| {
        [line.weight.to_owned(), line.subject.clone(), line.what.clone(), line.who.clone()]
    };
    table(["", "WHAT", "WOULD BE", "FOR"], lines.iter().map(row))
}
