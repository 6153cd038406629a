//! A mesh in one thread.
//!
//! The real ends of the stream between control plane and proxies ([`weft_distribute::Session`],
//! [`weft_link::Client`]) with a network between them that delays, breaks and partitions, all by
//! the numbers of one seed. Time is a count of milliseconds that jumps from event to event. The same
//! seed gives the same run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use weft_distribute::{Published, Session};
use weft_link::{Client, Mode, Ports, ProxyRole, State, assemble};
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::listener::{Destination, Direction, Intake, Listener};
use weft_model::mesh::{Listed, Mesh};
use weft_model::{Generation, Snapshot};
use weft_resilience::rng::Rng;
use weft_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use weft_wire::resource;

/// How bad the network is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// Longest time that a message is under way, milliseconds; each takes its own. Messages of one
    /// stream keep their order, as TCP sees to; those of different streams do not.
    pub delay_ms_max: u64,
    /// Chance that a message arrives before others of its stream that were sent earlier, which TCP
    /// does not do and a relay of messages might.
    pub reorder: f64,
    /// Chance that a message is lost, which ends its stream sooner or later.
    pub loss: f64,
    /// Chance, at each change, that the control plane is started anew and knows nothing.
    pub restart: f64,
    /// Chance, at each change, that a proxy is cut off for a while.
    pub partition: f64,
    /// Longest time that it is cut off, milliseconds.
    pub partition_ms_max: u64,
    /// Chance that a resource arrives as something that the proxy cannot read, as from a control
    /// plane of a later version.
    pub unreadable: f64,
}

/// One run.
#[derive(Debug)]
pub struct Simulation {
    rng: Rng,
    faults: Faults,
    /// Messages may have come out of order.
    reorders: bool,
    now_ms: u64,
    /// What happens when, in the order of its making where times are equal.
    events: BinaryHeap<Reverse<(u64, u64, usize)>>,
    payloads: BTreeMap<usize, Event>,
    count: u64,
    published: Published,
    /// Every mesh that was ever published, to compare with.
    history: BTreeMap<Generation, Arc<Mesh>>,
    proxies: Vec<Proxy>,
    /// Requests that have looked at their plan, to the last.
    pub served: u64,
    /// What was found wrong.
    pub violations: Vec<String>,
}

#[derive(Debug)]
struct Proxy {
    name: WorkloadName,
    client: Client,
    plan: Plan,
    stream: Option<Stream>,
    /// Counts streams; messages of an older one are nobody's.
    epoch: u64,
    cut_off_until_ms: u64,
    /// Resources, by type and name, that reached it unreadable; what it has of them is older than its
    /// generation.
    stale: Vec<(String, String)>,
}

#[derive(Debug)]
struct Stream {
    session: Session,
    /// Something was lost on it: nothing arrives any more, and neither end knows yet.
    is_broken: bool,
    /// The latest arrival so far, each way: later messages arrive later.
    up_ms: u64,
    down_ms: u64,
}

/// What a proxy has in force.
#[derive(Debug, Clone, Default)]
struct Plan {
    /// What it was made of.
    state: State,
    /// What of that is older than its generation, as in [`Proxy::stale`].
    stale: Arc<[(String, String)]>,
    snapshot: Arc<Snapshot>,
}

/// A request on its way through a proxy, which looks at its plan several times.
#[derive(Debug)]
struct Request {
    proxy: usize,
    /// The one that was in force when it began.
    plan: Plan,
    looks: u32,
}

#[derive(Debug)]
enum Event {
    /// A proxy tries to connect.
    Connect(usize),
    /// A message arrives at the control plane.
    Up(usize, u64, Box<DeltaDiscoveryRequest>),
    /// A message arrives at a proxy.
    Down(usize, u64, Box<DeltaDiscoveryResponse>),
    /// One end finds out that the stream is gone.
    Broken(usize, u64),
    /// A request looks at its plan.
    Look(Box<Request>),
}

/// How long a proxy waits before it connects again, milliseconds, at most.
const RECONNECT_MS_MAX: u64 = 1_000;

/// How often a request looks at its plan, from the route to the last byte.
const LOOKS: u32 = 3;

/// The time between two looks, milliseconds, at most.
const LOOK_MS_MAX: u64 = 2_000;

/// How long it takes one end to find out that a stream is gone, milliseconds, at most.
const DETECT_MS_MAX: u64 = 5_000;

// === impl Simulation ===

impl Simulation {
    /// Proxies beside these workloads, and a control plane that has published nothing.
    pub fn new(seed: u64, faults: Faults, workloads: &[WorkloadName]) -> Self {
        let mut simulation = Self {
            rng: Rng::new(seed),
            faults,
            reorders: faults.reorder > 0.0,
            now_ms: 0,
            events: BinaryHeap::new(),
            payloads: BTreeMap::new(),
            count: 0,
            published: Published::default(),
            history: BTreeMap::new(),
            proxies: Vec::new(),
            served: 0,
            violations: Vec::new(),
        };
        for name in workloads {
            let index = simulation.proxies.len();
            simulation.proxies.push(Proxy {
                name: name.clone(),
                client: Client::new(name, None, "simulated", State::default()),
                plan: Plan::default(),
                stream: None,
                epoch: 0,
                cut_off_until_ms: 0,
                stale: Vec::new(),
            });
            simulation.after(0, Event::Connect(index));
        }
        simulation
    }

    /// The time, milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { (self.chance() * bound as f64) as u64 }
    }

    /// Publishes a mesh; faults that come with changes may come.
    pub fn publish(&mut self, mesh: Mesh) {
        let mesh = Arc::new(mesh);
        self.history.insert(mesh.generation, mesh.clone());
        if self.happens(self.faults.restart) {
            self.published = Published::default();
            for index in 0..self.proxies.len() {
                self.lose(index);
            }
        }
        self.published = self.published.next(&mesh);
        for index in 0..self.proxies.len() {
            if self.happens(self.faults.partition) {
                let length = self.below(self.faults.partition_ms_max);
                self.proxies[index].cut_off_until_ms = self.now_ms + length;
            }
            self.respond(index);
        }
    }

    /// A proxy dials a service for the first time.
    pub fn dial(&mut self, index: usize, name: &ServiceName) {
        if let Some(request) = self.proxies[index].client.want(name) {
            self.send_up(index, request);
        }
    }

    /// A request begins at a proxy.
    pub fn request(&mut self, index: usize) {
        let plan = self.proxies[index].plan.clone();
        self.look(Request { proxy: index, plan, looks: 0 });
    }

    /// Lets everything happen that happens before `until_ms`.
    pub fn run_until(&mut self, until_ms: u64) {
        while let Some(Reverse((at, _, id))) = self.events.peek().copied() {
            if at > until_ms {
                break;
            }
            self.events.pop();
            self.now_ms = at;
            if let Some(event) = self.payloads.remove(&id) {
                self.happen(event);
            }
        }
        self.now_ms = until_ms;
    }

    /// No more faults from now on.
    pub fn heal(&mut self) {
        let delay_ms_max = self.faults.delay_ms_max;
        self.faults = Faults { delay_ms_max, ..Faults::default() };
        for proxy in &mut self.proxies {
            proxy.cut_off_until_ms = 0;
        }
    }

    /// The generation that each proxy has whole.
    pub fn generations(&self) -> Vec<Generation> {
        self.proxies.iter().map(|proxy| proxy.client.state().generation).collect()
    }

    /// What a proxy has whole.
    pub fn state(&self, index: usize) -> &State {
        self.proxies[index].client.state()
    }

    /// The generation that the control plane believes to be in force on each proxy; `None` for one
    /// without a stream.
    pub fn believed(&self) -> Vec<Option<Generation>> {
        let believed = |proxy: &Proxy| Some(proxy.stream.as_ref()?.session.status().in_force);
        self.proxies.iter().map(believed).collect()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connect(index) => self.connect(index),
            Event::Up(index, epoch, request) if self.is_current(index, epoch) => {
                let Some(stream) = &mut self.proxies[index].stream else { return };
                match stream.session.receive(*request) {
                    Ok(()) => self.respond(index),
                    // What cannot be understood ends the stream; the proxy begins again.
                    Err(_) if self.reorders => self.lose(index),
                    Err(error) => self.violations.push(format!("a proxy was refused: {error}")),
                }
            }
            Event::Down(index, epoch, response) if self.is_current(index, epoch) => {
                self.take(index, *response);
            }
            Event::Broken(index, epoch) if self.is_current(index, epoch) => {
                self.proxies[index].stream = None;
                let wait = self.below(RECONNECT_MS_MAX);
                self.after(wait, Event::Connect(index));
            }
            Event::Up(..) | Event::Down(..) | Event::Broken(..) => {}
            Event::Look(request) => self.look(*request),
        }
    }

    fn connect(&mut self, index: usize) {
        let now_ms = self.now_ms;
        let proxy = &mut self.proxies[index];
        if proxy.stream.is_some() {
            return;
        }
        if proxy.cut_off_until_ms > now_ms {
            let wait = self.below(RECONNECT_MS_MAX).max(1);
            self.after(wait, Event::Connect(index));
            return;
        }
        proxy.epoch += 1;
        let session = Session::new(proxy.name.clone());
        proxy.stream = Some(Stream { session, is_broken: false, up_ms: now_ms, down_ms: now_ms });
        for request in proxy.client.hello() {
            self.send_up(index, request);
        }
    }

    /// A response arrives at its proxy.
    fn take(&mut self, index: usize, response: DeltaDiscoveryResponse) {
        let proxy = &mut self.proxies[index];
        let kind = response.type_url.clone();
        let names = response.resources.iter().map(|resource| &resource.name);
        for name in names.chain(&response.removed_resources) {
            proxy.stale.retain(|stale| *stale != (kind.clone(), name.clone()));
        }
        let taken = proxy.client.receive(response);
        let refused = taken.answer.rejected.iter();
        proxy.stale.extend(refused.map(|refused| (kind.clone(), refused.name.clone())));
        let generation = proxy.client.state().generation;
        let in_force = taken.changed.then(|| proxy.client.put_in_force(generation)).flatten();
        if taken.changed {
            proxy.put_in_force();
            self.check(index);
        }
        self.send_up(index, taken.answer);
        if let Some(request) = in_force {
            self.send_up(index, request);
        }
    }

    /// Whether what a proxy has whole is one generation, and nothing of another.
    fn check(&mut self, index: usize) {
        let proxy = &self.proxies[index];
        let state = proxy.client.state();
        let Some(mesh) = self.history.get(&state.generation) else {
            self.violations.push(format!("{} was never published", state.generation));
            return;
        };
        let is_stale = |kind: &str, name: &str| {
            proxy.stale.iter().any(|stale| stale.0 == kind && stale.1 == name)
        };
        let mut wrong = Vec::new();
        for (name, entry) in &mesh.index.entries {
            let has = state.index.get(name.as_str()).map(Listed::entry);
            if has.as_ref() != Some(&**entry) && !is_stale(resource::INDEX_ENTRY, name.as_str()) {
                wrong.push(format!("index entry {name}"));
            }
        }
        let names = state.index.iter().map(Listed::name);
        for name in names.filter(|name| !mesh.index.entries.contains_key(*name)) {
            wrong.push(format!("index entry {name} is gone"));
        }
        for (name, has) in state.services.iter() {
            if mesh.services.get(name) != Some(&has.value)
                && !is_stale(resource::SERVICE, name.as_str())
            {
                wrong.push(format!("service {name}"));
            }
        }
        let workload = state.workload.as_ref().map(|has| &has.value);
        if workload != mesh.workloads.get(&proxy.name)
            && !is_stale(resource::WORKLOAD, proxy.name.as_str())
        {
            wrong.push("the workload".to_owned());
        }
        let (name, generation) = (&proxy.name, state.generation);
        self.violations.extend(
            wrong.into_iter().map(|what| format!("{name} at {generation}: {what} is of another")),
        );
    }

    /// What a request sees at this moment is all of one generation: that of the plan which was in
    /// force when it began.
    fn look(&mut self, mut request: Request) {
        let Request { proxy, plan, .. } = &request;
        let name = &self.proxies[*proxy].name;
        let generation = plan.snapshot.generation;
        let seen = plan.snapshot.listeners.iter().filter_map(|listener| match &listener.intake {
            Intake::Destination(destination) => Some((destination, listener)),
            Intake::Bound | Intake::Captured(_) | Intake::Mesh | Intake::Explicit => None,
        });
        for (destination, listener) in seen.filter(|(seen, _)| !is_stale(seen, name, &plan.stale)) {
            // Before the first generation there is nothing of anybody.
            let mesh = self.history.get(&generation);
            let agrees = |mesh: &Arc<Mesh>| {
                agrees(destination, name, mesh) && has_rules(destination, listener, mesh)
            };
            if !mesh.is_some_and(agrees) {
                let what = &destination.name;
                let wrong = format!("a request of {name} at {generation}: {what} is of another");
                self.violations.push(wrong);
            }
        }
        request.looks += 1;
        if request.looks == LOOKS {
            self.served += 1;
            return;
        }
        let wait = self.below(LOOK_MS_MAX);
        self.after(wait, Event::Look(Box::new(request)));
    }

    fn respond(&mut self, index: usize) {
        let Some(stream) = &mut self.proxies[index].stream else { return };
        let Some(mut response) = stream.session.respond(&self.published) else { return };
        for at in 0..response.resources.len() {
            if self.happens(self.faults.unreadable)
                && let Some(any) = &mut response.resources[at].resource
            {
                any.value = vec![0xff].into();
            }
        }
        let epoch = self.proxies[index].epoch;
        if self.is_lost(index) {
            return self.lose(index);
        }
        let delay = self.below(self.faults.delay_ms_max);
        let overtakes = self.happens(self.faults.reorder);
        let Some(stream) = &mut self.proxies[index].stream else { return };
        let at = arrival(&mut stream.down_ms, self.now_ms + delay, overtakes);
        self.at(at, Event::Down(index, epoch, Box::new(response)));
    }

    fn send_up(&mut self, index: usize, request: DeltaDiscoveryRequest) {
        if self.proxies[index].stream.is_none() {
            return;
        }
        if self.is_lost(index) {
            return self.lose(index);
        }
        let delay = self.below(self.faults.delay_ms_max);
        let overtakes = self.happens(self.faults.reorder);
        let proxy = &mut self.proxies[index];
        let Some(stream) = &mut proxy.stream else { return };
        let at = arrival(&mut stream.up_ms, self.now_ms + delay, overtakes);
        let epoch = proxy.epoch;
        self.at(at, Event::Up(index, epoch, Box::new(request)));
    }

    fn is_lost(&mut self, index: usize) -> bool {
        let is_broken = self.proxies[index].stream.as_ref().is_some_and(|stream| stream.is_broken);
        is_broken
            || self.proxies[index].cut_off_until_ms > self.now_ms
            || self.happens(self.faults.loss)
    }

    /// The stream of a proxy is gone; nothing more arrives on it, and it takes a while until that is
    /// known.
    fn lose(&mut self, index: usize) {
        let wait = self.below(DETECT_MS_MAX);
        let proxy = &mut self.proxies[index];
        match &mut proxy.stream {
            Some(stream) if !stream.is_broken => stream.is_broken = true,
            _ => return,
        }
        proxy.epoch += 1;
        let epoch = proxy.epoch;
        self.after(wait, Event::Broken(index, epoch));
    }

    fn is_current(&self, index: usize, epoch: u64) -> bool {
        self.proxies[index].epoch == epoch
    }

    fn happens(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.chance() < chance
    }

    fn chance(&mut self) -> f64 {
        self.rng.ratio()
    }

    fn after(&mut self, wait_ms: u64, event: Event) {
        self.at(self.now_ms + wait_ms, event);
    }

    fn at(&mut self, at_ms: u64, event: Event) {
        self.count += 1;
        let id = self.count as usize;
        self.payloads.insert(id, event);
        self.events.push(Reverse((at_ms, self.count, id)));
    }
}

// === impl Proxy ===

impl Proxy {
    /// Makes the plan of what it has.
    fn put_in_force(&mut self) {
        let role = ProxyRole {
            workload: self.name.clone(),
            ports: Ports::default(),
            mode: Mode::Captured,
        };
        let state = self.client.state().clone();
        let Plan { state: before, snapshot, .. } = &self.plan;
        let snapshot = Arc::new(assemble(&state, &role, Some((before, snapshot))));
        self.plan = Plan { state, stale: self.stale.as_slice().into(), snapshot };
    }
}

// === functions ===

/// When a message arrives, if the one before it arrives at `latest`.
fn arrival(latest_ms: &mut u64, at_ms: u64, overtakes: bool) -> u64 {
    if overtakes {
        return at_ms;
    }
    *latest_ms = at_ms.max(*latest_ms);
    *latest_ms
}

/// Whether a destination is as a mesh has it.
fn agrees(destination: &Destination, own: &WorkloadName, mesh: &Mesh) -> bool {
    match (destination.direction, destination.addrs.is_empty()) {
        (Direction::Inbound, _) => {
            mesh.workloads.get(own).is_some_and(|own| own.mtls == destination.mtls)
        }
        // All that is not of the mesh.
        (Direction::Outbound, true) => true,
        (Direction::Outbound, false) => {
            let service = mesh.services.get(&ServiceName::new(&*destination.name));
            let port = |port| service.is_some_and(|has| has.entry.port(port).is_some());
            destination.port.is_some_and(port)
        }
    }
}

/// Whether the routes of a destination are the rules that a mesh has for it, where it has any.
fn has_rules(destination: &Destination, listener: &Listener, mesh: &Mesh) -> bool {
    let service = mesh.services.get(&ServiceName::new(&*destination.name));
    let rules = service.iter().flat_map(|service| &service.traffic.routing);
    let rules: Vec<_> = rules.filter_map(|set| set.http.as_deref()).flatten().collect();
    let routes = listener.plain.iter().flat_map(|served| &served.http.routes);
    rules.is_empty() || routes.map(|route| &**route).eq(rules.iter().map(|routed| &*routed.route))
}

/// Whether its proxy had an older form of what a destination was made of.
fn is_stale(destination: &Destination, own: &WorkloadName, stale: &[(String, String)]) -> bool {
    let (kind, name) = match destination.direction {
        Direction::Inbound => (resource::WORKLOAD, own.as_str()),
        Direction::Outbound => (resource::SERVICE, &*destination.name),
    };
    stale.iter().any(|stale| stale.0 == kind && stale.1 == name)
}
