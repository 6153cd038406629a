//! The delta discovery stream.

use std::time::Duration;

use tokio::sync::mpsc;
use weft_model::id::ServiceName;
use weft_runtime::time;
use weft_wire::discovery::{DELTA_PATH, DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use super::{Broken, Shared};
use crate::channel::Channel;
use crate::client::Client;
use crate::usage::Usage;

/// How often it is looked which services are idle, at most.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// The client, and what it is told of the services in use.
#[derive(Debug)]
pub(super) struct Follower {
    client: Client,
    usage: Usage,
}

// === impl Follower ===

impl Follower {
    /// Services that the client has from an earlier process count as used now.
    pub(super) fn new(client: Client) -> Self {
        let mut usage = Usage::default();
        for name in client.state().services.keys() {
            usage.touch(name.clone(), time::now());
        }
        Self { client, usage }
    }

    /// Follows the stream until it breaks.
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
            self.want(name);
        }
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
                    waiting.push(self.take(shared, response));
                }
                name = wishes.recv() => {
                    // The other end is in `shared`, too.
                    waiting.extend(name.and_then(|name| self.want(name)));
                }
                _ = in_force.changed() => {
                    let generation = *in_force.borrow_and_update();
                    waiting.extend(self.client.put_in_force(generation));
                }
                () = time::sleep((times.idle / 10).min(LOOK_MAX)) => {
                    waiting.extend(self.forget(shared));
                }
            }
        }
    }

    fn want(&mut self, name: ServiceName) -> Option<DeltaDiscoveryRequest> {
        let request = self.client.want(&name);
        self.usage.touch(name, time::now());
        request
    }

    fn take(&mut self, shared: &Shared, response: DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
        let taken = self.client.receive(response);
        for rejected in &taken.answer.rejected {
            tracing::warn!(
                resource = rejected.name,
                reason = rejected.reason,
                "a resource cannot be read; its last good form stays"
            );
        }
        if taken.changed {
            shared.put_out(self.client.state().clone());
        }
        taken.answer
    }

    fn forget(&mut self, shared: &Shared) -> Option<DeltaDiscoveryRequest> {
        let idle = self.usage.take_idle(shared.settings.times.idle, time::now());
        let request = self.client.forget(&idle)?;
        shared.put_out(self.client.state().clone());
        Some(request)
    }
}
