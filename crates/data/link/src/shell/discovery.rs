//! The delta discovery stream.

use std::future::pending;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use weft_model::id::ServiceName;
use weft_runtime::time;
use weft_wire::discovery::{DELTA_PATH, DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use super::{Broken, Shared};
use crate::assemble::led_to;
use crate::channel::Channel;
use crate::client::Client;
use crate::usage::Usage;

/// How often it is looked which services are idle, at most.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// How long rules wait for the services that they lead to before they are put out without them:
/// shorter than a first connection waits for the rules.
const LEAD_MAX: Duration = Duration::from_millis(500);

/// The client, and what it is told of the services in use.
#[derive(Debug)]
pub(super) struct Follower {
    client: Client,
    usage: Usage,
    /// There is a state that waits, until then, for what its rules lead to.
    waits: Option<Instant>,
    /// When it is looked next which services are idle, however much there is to do until then.
    look: Instant,
}

// === impl Follower ===

impl Follower {
    /// Services that the client has from an earlier process count as used now.
    pub(super) fn new(client: Client) -> Self {
        let mut usage = Usage::default();
        for name in client.state().services.keys() {
            usage.touch(name.clone(), time::now());
        }
        Self { client, usage, waits: None, look: time::now() }
    }

    /// Follows the stream until it breaks, or until the connection does: then
    /// [`Follower::end_wait`] is due.
    pub(super) async fn follow(
        &mut self,
        shared: &Shared,
        channel: &Channel,
        wishes: &mut mpsc::Receiver<ServiceName>,
        has_followed: &mut bool,
    ) -> Broken {
        match self.try_follow(shared, channel, wishes, has_followed).await {
            Ok(never) => match never {},
            Err(broken) => broken,
        }
    }

    /// The connection is gone: a state that waits for something waits for nothing now.
    pub(super) fn end_wait(&mut self, shared: &Shared) {
        if self.waits.is_some() {
            self.put_out(shared);
        }
    }

    async fn try_follow(
        &mut self,
        shared: &Shared,
        channel: &Channel,
        wishes: &mut mpsc::Receiver<ServiceName>,
        has_followed: &mut bool,
    ) -> Result<std::convert::Infallible, Broken> {
        let times = shared.settings.times;
        let opened = channel.stream::<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(DELTA_PATH);
        let opened = time::timeout(times.connect, opened).await.map_err(|_| Broken::Late)?;
        let (requests, mut responses) = opened.map_err(Broken::Refused)?;
        let mut in_force = shared.in_force.subscribe();
        // What was used in the meantime is a part of the first wishes.
        while let Ok(name) = wishes.try_recv() {
            self.want(shared, name);
        }
        self.lead(shared);
        self.client.put_in_force(*in_force.borrow_and_update());
        let mut waiting = self.client.hello();
        loop {
            for request in waiting.drain(..) {
                let sent = time::timeout(times.connect, requests.send(request));
                sent.await.map_err(|_| Broken::Late)?.map_err(|_| Broken::Ended)?;
            }
            tokio::select! {
                response = responses.message() => {
                    let response = response.map_err(Broken::Refused)?.ok_or(Broken::Ended)?;
                    *has_followed = true;
                    shared.set_connected(true, None);
                    waiting.extend(self.take(shared, response));
                }
                name = wishes.recv() => {
                    // The other end is in `shared`, too.
                    waiting.extend(name.into_iter().flat_map(|name| self.want(shared, name)));
                }
                () = until(self.waits) => self.put_out(shared),
                _ = in_force.changed() => {
                    let generation = *in_force.borrow_and_update();
                    waiting.extend(self.client.put_in_force(generation));
                }
                () = time::sleep_until(self.look) => waiting.extend(self.forget(shared)),
            }
        }
    }

    fn want(&mut self, shared: &Shared, name: ServiceName) -> Vec<DeltaDiscoveryRequest> {
        let mut requests: Vec<_> = self.client.want(&name).into_iter().collect();
        if self.usage.touch(name, time::now()) {
            requests.extend(self.lead(shared));
        }
        requests
    }

    fn take(
        &mut self,
        shared: &Shared,
        response: DeltaDiscoveryResponse,
    ) -> Vec<DeltaDiscoveryRequest> {
        let taken = self.client.receive(response);
        for rejected in &taken.answer.rejected {
            tracing::warn!(
                resource = rejected.name,
                reason = rejected.reason,
                "a resource cannot be read; its last good form stays"
            );
        }
        let mut requests = vec![taken.answer];
        if taken.changed {
            requests.extend(self.lead(shared));
            let state = self.client.state();
            let is_known = |name| state.services.contains_key(name) || state.missing.contains(name);
            match self.usage.led().iter().all(is_known) {
                true => self.put_out(shared),
                false => _ = self.waits.get_or_insert(time::now() + LEAD_MAX),
            }
        }
        requests
    }

    /// Looks where rules lead to, and asks for what is not known yet of it.
    fn lead(&mut self, shared: &Shared) -> Vec<DeltaDiscoveryRequest> {
        let settings = &shared.settings;
        if !settings.follows_rules {
            return Vec::new();
        }
        let led = led_to(self.client.state(), &settings.workload, self.usage.dialled());
        let requests = led.iter().filter_map(|name| self.client.want(name)).collect();
        self.usage.lead(led);
        requests
    }

    fn put_out(&mut self, shared: &Shared) {
        self.waits = None;
        shared.put_out(self.client.state().clone());
    }

    fn forget(&mut self, shared: &Shared) -> Vec<DeltaDiscoveryRequest> {
        let (idle, now) = (shared.settings.times.idle, time::now());
        self.look = now + (idle / 10).min(LOOK_MAX);
        self.usage.drop_idle(idle, now);
        let mut requests = self.lead(shared);
        if let Some(request) = self.client.forget(&self.usage.take_unused()) {
            self.put_out(shared);
            requests.push(request);
        }
        requests
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => time::sleep_until(instant).await,
        None => pending().await,
    }
}
