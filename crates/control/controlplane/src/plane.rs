//! The parts of a control plane, together.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use weft_authority::{
    Authority, CannotIssue, Forecast, IdentityPattern, Issued, JoinToken, KeyRequest, Rotation,
    TooManyTokens,
};
use weft_distribute::{Kind, Published};
use weft_model::id::WorkloadName;
use weft_model::identity::Identity;
use weft_resilience::settings::RateSettings;
use weft_runtime::task;
use weft_tls::mesh::{AuthorityTls, Credentials, InvalidCredentials, Pkcs8Key};

use crate::applications::Applications;
use crate::attest::{Attest, Attested, Claim, NotAttested, Peer, Side};
use crate::fleet::{Fleet, InvalidFleet, RETURNING};
use crate::keeper::{CannotChange, Keeper};
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::places::Places;
use crate::registry::{FleetStatus, Registry};
use crate::settings::Settings;

/// Certificates for one identity: all proxies of a large service at once, and then as many as cost
/// this thread a hundredth of its time.
const PACE: RateSettings =
    RateSettings { average: 100, period: Duration::from_secs(1), burst: 10_000 };

/// A control plane. Clones are the same one.
#[derive(Clone)]
pub struct ControlPlane(pub(crate) Rc<Parts>);

/// It cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CannotStart {
    /// The authority gives it no certificate.
    #[error("there is no certificate for the control plane itself")]
    Certificate(#[from] CannotIssue),
    /// The certificate cannot be used.
    #[error("the certificate of the control plane cannot be used")]
    Credentials(#[from] InvalidCredentials),
    /// What is known of proxies cannot be read.
    #[error("{path}, which says who has what certificate, cannot be read")]
    Fleet {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is known of proxies is damaged.
    #[error("{path}, which says who has what certificate, is damaged: remove it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub(crate) struct Parts {
    pub(crate) published: watch::Receiver<Published>,
    pub(crate) keeper: Keeper,
    attest: Rc<dyn Attest>,
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    pub(crate) applications: Applications,
    /// How often each identity gets certificates.
    pub(crate) pace: Pace<Identity>,
    pub(crate) metrics: Arc<Metrics>,
    /// What new connections by TCP are met with.
    pub(crate) tls: RefCell<Arc<AuthorityTls>>,
    pub(crate) credentials: watch::Sender<Credentials>,
    pub(crate) places: Places,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// A control plane that serves what is published, and certificates by that authority.
    ///
    /// # Errors
    ///
    /// [`CannotStart`].
    pub async fn new(
        published: watch::Receiver<Published>,
        keeper: Keeper,
        attest: Rc<dyn Attest>,
        settings: Settings,
    ) -> Result<Self, CannotStart> {
        let fleet = match &settings.fleet_path {
            Some(path) => read_fleet(path.clone()).await?,
            None => Fleet::default(),
        };
        let metrics = keeper.metrics();
        let applications = Applications::new();
        let places = Places::new(settings.limits.connections);
        let clock = settings.clock.clone();
        let registry = Registry::new(clock, fleet, applications.clone(), metrics.clone());
        let authority = keeper.authority();
        let (credentials, _) = credentials(&authority, &settings.identity, &settings)?;
        let tls = AuthorityTls::build(&credentials, settings.clock.provider(), RETURNING)?;
        Ok(Self(Rc::new(Parts {
            published,
            keeper,
            attest,
            settings,
            registry,
            applications,
            places,
            pace: Pace::new(PACE),
            metrics,
            tls: RefCell::new(Arc::new(tls)),
            credentials: watch::Sender::new(credentials),
        })))
    }

    /// What is known of the proxies.
    pub fn status(&self) -> FleetStatus {
        let generation = self.0.published.borrow().generation();
        self.0.registry.status(generation)
    }

    /// The names of the resources of a kind that proxies can have.
    pub fn names(&self, kind: Kind) -> Vec<String> {
        self.0.published.borrow().names(kind).map(ToString::to_string).collect()
    }

    /// What it counts; see [`ControlPlane::measure`].
    pub fn metrics(&self) -> Arc<Metrics> {
        self.0.metrics.clone()
    }

    /// The registry behind [`ControlPlane::status`].
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// A workload has ended, as whoever has started it knows for sure: a rotation of the root need
    /// not wait for its proxy, even if that has not said goodbye.
    pub fn forget(&self, workload: &WorkloadName) {
        self.0.registry.forget(workload);
        self.0.applications.forget();
    }

    /// Its own certificate, renewed as time goes by.
    pub fn credentials(&self) -> watch::Receiver<Credentials> {
        self.0.credentials.subscribe()
    }

    /// The authority as it is now, its keys included.
    pub fn authority(&self) -> Authority {
        self.0.keeper.authority()
    }

    /// How far a rotation of the root has come.
    pub fn rotation(&self) -> Rotation {
        self.authority().rotation().clone()
    }

    /// Which certificate ends when, and what breaks then.
    pub fn forecast(&self) -> Forecast {
        let reports = self.0.registry.reports();
        self.authority().forecast(&reports, self.0.settings.clock.now())
    }

    /// A token by which somebody within `scope` gets a first certificate, once.
    ///
    /// # Errors
    ///
    /// [`TooManyTokens`], or that it cannot be written down.
    pub async fn create_token(
        &self,
        scope: IdentityPattern,
        lifetime: Duration,
    ) -> Result<JoinToken, CannotChange<TooManyTokens>> {
        let now = self.0.settings.clock.now();
        self.0.keeper.change(|state| state.tokens.create(scope, lifetime, now)).await
    }

    /// Who is at the other end of a connection.
    pub(crate) fn attest(&self, peer: &Peer, claim: &Claim) -> Result<Attested, NotAttested> {
        let attest = &self.0.attest;
        let who = match peer {
            Peer::Process(process) => attest.attest(*process, Side::Proxy, claim)?,
            Peer::Application(process) => attest.attest(*process, Side::Application, claim)?,
            Peer::Certified { identity, .. } => {
                Attested::by_identity(identity, claim, &self.0.published.borrow())?
            }
            Peer::Own(attested) => attested.clone(),
            Peer::Returning { .. } => {
                return Err(NotAttested("its certificate has ended: ask for another one".into()));
            }
            Peer::Unknown { .. } => {
                let why = "a certificate is needed: ask for one with a join token";
                return Err(NotAttested(why.into()));
            }
        };
        self.admit(who)
    }

    /// Who somebody is whose certificate has ended, for the next one: whoever had it last.
    pub(crate) fn readmit(
        &self,
        identity: &Identity,
        not_after: SystemTime,
        claim: &Claim,
    ) -> Result<Attested, NotAttested> {
        let who = Attested::by_identity(identity, claim, &self.0.published.borrow())?;
        if !self.0.registry.is_last(&who, not_after) {
            return Err(NotAttested(format!(
                "the certificate has ended, and {} is not known to have had it last: join with a \
                 token",
                who.workload
            )));
        }
        self.admit(who)
    }

    /// The last word on who somebody is, however that was found out.
    ///
    /// Nobody is the control plane itself: other machines know it by its identity alone. And an
    /// identity has so many workloads: names that only their bearer vouches for cost nothing to make
    /// up.
    pub(crate) fn admit(&self, who: Attested) -> Result<Attested, NotAttested> {
        let Attested { workload, identity } = &who;
        if *identity == self.0.settings.identity {
            return Err(NotAttested(format!("{identity} is the control plane, and nobody else")));
        }
        let is_known = self.0.published.borrow().workload(workload.as_str()).is_some();
        if !is_known && !self.0.registry.has_room(&who) {
            return Err(NotAttested(format!(
                "{identity} has too many workloads that the mesh does not know: {workload} is one \
                 more"
            )));
        }
        Ok(who)
    }
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

/// A fresh key with its certificate.
pub(crate) fn credentials(
    authority: &Authority,
    identity: &Identity,
    settings: &Settings,
) -> Result<(Credentials, Issued), CannotIssue> {
    let request = KeyRequest::generate();
    let issued = authority.sign(&request.csr, identity, settings.clock.now())?;
    let credentials = Credentials {
        chain: issued.chain.clone(),
        key: Pkcs8Key::from(request.key()),
        bundle: issued.bundle.certificates().map(|found| found.der().clone()).collect(),
        identity: identity.clone(),
        not_after: issued.validity.not_after,
    };
    Ok((credentials, issued))
}

async fn read_fleet(path: PathBuf) -> Result<Fleet, CannotStart> {
    let at = path.clone();
    let read = task::blocking(move || std::fs::read(&at)).await;
    let bytes = match read.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into())) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fleet::default()),
        Err(source) => return Err(CannotStart::Fleet { path, source }),
    };
    let damaged = |source: InvalidFleet| CannotStart::Damaged { path, source: source.into() };
    Fleet::from_bytes(&bytes).map_err(damaged)
}
