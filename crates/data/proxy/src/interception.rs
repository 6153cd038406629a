//! What a worker is lent to serve connections that were not made to it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use weft_model::id::ServiceName;
use weft_net::original::{OriginalDst, original_dst};
use weft_runtime::time;

use crate::plan::{ListenerPlan, Standing};
use crate::worker::Worker;

/// How long the first connection to a service waits until something is known of it. The only wait
/// for the control plane on the path of a request.
const LEARN_MAX: Duration = Duration::from_secs(1);

/// What the surroundings of a worker do for it. The default is that of a gateway, which needs
/// nothing.
#[derive(Debug, Clone, Default)]
pub struct Interception {
    /// Told the names of services that were dialled and are not in the plan; a plan that has them
    /// is expected within a second.
    pub demand: Option<mpsc::UnboundedSender<ServiceName>>,
    /// Says where captured connections were meant to go.
    pub original: OriginalDestination,
    /// Knows the hosts of the mesh, for applications that call us as a forward proxy. What it does
    /// not know is looked up by the system.
    pub resolve: Resolve,
}

/// Says where a captured connection was meant to go; by default what the kernel knows.
#[derive(Clone)]
pub struct OriginalDestination(Arc<Find>);

type Find = dyn Fn(&TcpStream) -> io::Result<OriginalDst> + Send + Sync;

/// Gives the address of a host of the mesh; by default there is none.
#[derive(Clone)]
pub struct Resolve(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<IpAddr> + Send + Sync;

/// Services that connections wait for.
#[derive(Debug, Default)]
pub(crate) struct Learning {
    demand: Option<mpsc::UnboundedSender<ServiceName>>,
    /// How many wait, by service: one question is enough.
    waiting: RefCell<HashMap<ServiceName, usize>>,
    applied: Notify,
}

/// A connection that waits; counts until it is dropped.
struct Waiting<'a> {
    learning: &'a Learning,
    name: &'a ServiceName,
}

// === impl OriginalDestination ===

impl OriginalDestination {
    /// Asks this function.
    pub fn new(
        find: impl Fn(&TcpStream) -> io::Result<OriginalDst> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(find))
    }

    pub(crate) fn of(&self, stream: &TcpStream) -> io::Result<OriginalDst> {
        (self.0)(stream)
    }
}

impl Default for OriginalDestination {
    fn default() -> Self {
        Self::new(original_dst)
    }
}

impl fmt::Debug for OriginalDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginalDestination").finish_non_exhaustive()
    }
}

// === impl Resolve ===

impl Resolve {
    /// Asks this function.
    pub fn new(resolve: impl Fn(&str) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Arc::new(resolve))
    }

    pub(crate) fn addr(&self, host: &str) -> Option<IpAddr> {
        (self.0)(host)
    }
}

impl Default for Resolve {
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl fmt::Debug for Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolve").finish_non_exhaustive()
    }
}

// === impl Learning ===

impl Learning {
    pub(crate) fn new(demand: Option<mpsc::UnboundedSender<ServiceName>>) -> Self {
        Self { demand, ..Self::default() }
    }

    /// A plan was put in force: whoever waits may look again.
    pub(crate) fn applied(&self) {
        self.applied.notify_waiters();
    }

    /// Asks for a service, unless somebody has and still waits.
    fn ask<'a>(&'a self, name: &'a ServiceName) -> Option<Waiting<'a>> {
        let demand = self.demand.as_ref()?;
        let mut waiting = self.waiting.borrow_mut();
        let count = waiting.entry(name.clone()).or_insert(0);
        *count += 1;
        if *count == 1 && demand.send(name.clone()).is_err() {
            tracing::debug!(service = %name, "nobody can tell of services any more");
        }
        Some(Waiting { learning: self, name })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.learning.waiting.borrow_mut();
        if let Some(count) = waiting.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(self.name);
            }
        }
    }
}

// === functions ===

/// The listener of a service that nobody has dialled here so far, as soon as a plan has it. `None`
/// when that takes too long, or nobody can be asked.
pub(crate) async fn learn(
    worker: &Rc<Worker>,
    addr: SocketAddr,
    service: &ServiceName,
) -> Option<Rc<ListenerPlan>> {
    let learning = &worker.learning;
    let _waiting = learning.ask(service)?;
    let learned = async {
        loop {
            let applied = learning.applied.notified();
            let plan = worker.plan();
            match plan.shared.destinations().outbound(addr) {
                Standing::Listener(place) => return plan.listener_at(place).cloned(),
                Standing::Unlearned(_) => applied.await,
                Standing::NoPort(_) | Standing::Nothing => return None,
            }
        }
    };
    time::timeout(LEARN_MAX, learned).await.ok().flatten()
}
