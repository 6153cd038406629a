//! A gateway's part in a mesh: who it is there, and where services run.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weft_link::{Link, State};
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::mesh::{Directory, Index};
use weft_model::{Generation, Snapshot};
use weft_runtime::ready::Readiness;
use weft_runtime::task::{self, Task};
use weft_runtime::time;

use crate::args::MemberArgs;
use crate::link;

/// How long services that a route begins to lead to are waited for, until it is served without them.
const LEARN_MAX: Duration = Duration::from_secs(1);

/// How long the control plane is waited for at the start, until documents are served without it.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// How often the link is told which services are in use, lest it forgets them.
const USED_INTERVAL: Duration = Duration::from_secs(60);

/// A member of a mesh.
pub(super) struct Member {
    /// What it is in the mesh.
    workload: WorkloadName,
    link: Link,
    linking: Task<()>,
    state: watch::Receiver<State>,
    /// The services that there are, and what that was made of.
    index: Index,
    known: Arc<Directory>,
    /// What is in force.
    settled: State,
    /// Goes up with what is put in force, whether documents have changed or places.
    generation: u64,
    used: Task<()>,
}

// === impl Member ===

impl Member {
    /// Begins to be what `args` say, if that is a part of a mesh at all.
    pub(super) fn start(args: &MemberArgs, readiness: &Readiness) -> anyhow::Result<Option<Self>> {
        let Some(control) = &args.control else { return Ok(None) };
        let (workload, account) = (&args.workload, &args.service_account);
        let mut settings = link::settings(workload, account, control, &args.link)?;
        settings.follows_rules = false;
        let (link, running) = weft_link::start(settings, readiness);
        Ok(Some(Self {
            workload: WorkloadName::new(args.workload.as_str()),
            linking: task::spawn("link", running),
            state: link.state(),
            link,
            index: Index::default(),
            known: Arc::default(),
            settled: State::default(),
            generation: 0,
            used: task::spawn("used", time::sleep(USED_INTERVAL)),
        }))
    }

    /// Its line to the control plane.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Waits until something is known of the mesh at all; not for ever.
    pub(super) async fn begin(&mut self) {
        let known = self.state.wait_for(|state| state.generation != Generation::default());
        if time::timeout(FIRST_MAX, known).await.is_err() {
            tracing::warn!("the control plane says nothing; documents are served without the mesh");
        }
    }

    /// Waits until something is to be put in force anew.
    ///
    /// Cancel safe.
    pub(super) async fn changed(&mut self, snapshot: Option<&Snapshot>) {
        let (settled, known) = (&self.settled, &self.known);
        let is_news = |state: &State| {
            state.generation != settled.generation
                || !Arc::ptr_eq(&state.services, &settled.services)
                || !Arc::ptr_eq(&state.index, known)
        };
        loop {
            tokio::select! {
                changed = self.state.wait_for(is_news) => match changed {
                    Ok(_) => return,
                    // The link ends with the process only.
                    Err(_) => std::future::pending().await,
                },
                _ = &mut self.used => {
                    self.used = task::spawn("used", time::sleep(USED_INTERVAL));
                    let services = snapshot.map(weft_link::services).unwrap_or_default();
                    want(&self.link, services);
                }
            }
        }
    }

    /// The services that documents may lead to, and whether there are others than before.
    pub(super) fn index(&mut self) -> (&Index, bool) {
        let known = self.state.borrow().index.clone();
        let is_new = !Arc::ptr_eq(&known, &self.known);
        if is_new {
            let entries = known.iter().map(|listed| Arc::new(listed.entry()));
            let entries = entries.map(|entry| (entry.name.clone(), entry)).collect();
            self.index = Index { entries };
            self.known = known;
        }
        (&self.index, is_new)
    }

    /// The plan with the places where services run, as they are known by now. Those that it begins
    /// to lead to are waited for a moment.
    pub(super) async fn settle(
        &mut self,
        snapshot: &Snapshot,
        before: Option<&Snapshot>,
    ) -> Arc<Snapshot> {
        let mut wanted = weft_link::services(snapshot);
        wanted.retain(|name| !is_known(&self.state.borrow(), name));
        want(&self.link, wanted.iter().cloned());
        let learned = self.state.wait_for(|state| wanted.iter().all(|name| is_known(state, name)));
        if time::timeout(LEARN_MAX, learned).await.is_err() {
            tracing::warn!("not all services could be learned of in time");
        }
        self.settled = self.state.borrow().clone();
        let mut settled = weft_link::settle(snapshot, &self.settled, &self.workload, before);
        self.generation += 1;
        settled.generation = Generation(self.generation);
        Arc::new(settled)
    }

    /// What was settled last is in force; the control plane is told.
    pub(super) fn put_in_force(&self) {
        self.link.put_in_force(self.settled.generation);
    }

    /// The gateway ends.
    pub(super) async fn leave(self) {
        self.link.say_goodbye().await;
        self.linking.abort();
        self.used.abort();
    }
}

/// Says that services are in use. Those that are too many at one time are asked for later.
fn want(link: &Link, services: impl IntoIterator<Item = ServiceName>) {
    let demand = link.demand();
    if !services.into_iter().all(|service| demand.want(service)) {
        tracing::warn!("too many services are asked for at one time");
    }
}

/// Whether a service is known, if only as missing.
fn is_known(state: &State, name: &ServiceName) -> bool {
    state.services.contains_key(name) || state.missing.contains(name)
}
