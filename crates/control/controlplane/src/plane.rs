//! The parts of a control plane, together.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weft_authority::{
    Authority, CannotIssue, Forecast, IdentityPattern, Issued, JoinToken, KeyRequest, Rotation,
    TooManyTokens,
};
use weft_distribute::Published;
use weft_model::id::WorkloadName;
use weft_model::identity::Identity;
use weft_runtime::task;
use weft_tls::mesh::{AuthorityTls, Credentials, InvalidCredentials, Pkcs8Key};

use crate::attest::{Attest, Attested, Claim, NotAttested, Peer};
use crate::fleet::{Fleet, InvalidFleet};
use crate::keeper::{CannotChange, Keeper};
use crate::registry::{FleetStatus, Registry};
use crate::settings::Settings;

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
    /// What new connections by TCP are met with.
    pub(crate) tls: RefCell<Arc<AuthorityTls>>,
    pub(crate) credentials: watch::Sender<Credentials>,
    pub(crate) connections: Cell<usize>,
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
        let registry = Registry::new(settings.clock.clone(), fleet);
        let authority = keeper.authority();
        let (credentials, _) = credentials(&authority, &settings.identity, &settings)?;
        let tls = AuthorityTls::build(&credentials, settings.clock.provider())?;
        Ok(Self(Rc::new(Parts {
            published,
            keeper,
            attest,
            settings,
            registry,
            tls: RefCell::new(Arc::new(tls)),
            credentials: watch::Sender::new(credentials),
            connections: Cell::new(0),
        })))
    }

    /// What is known of the proxies.
    pub fn status(&self) -> FleetStatus {
        let generation = self.0.published.borrow().generation();
        self.0.registry.status(generation)
    }

    /// The registry behind [`ControlPlane::status`].
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// A workload has ended, as whoever has started it knows for sure: a rotation of the root need
    /// not wait for its proxy, even if that has not said goodbye.
    pub fn forget(&self, workload: &WorkloadName) {
        self.0.registry.forget(workload);
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
        match peer {
            Peer::Process(process) | Peer::Application(process) => {
                self.0.attest.attest(*process, claim)
            }
            Peer::Certified { identity, .. } => {
                Attested::by_identity(identity, claim, &self.0.published.borrow())
            }
            Peer::Own(attested) => Ok(attested.clone()),
            Peer::Unknown { .. } => {
                Err(NotAttested("a certificate is needed: ask for one with a join token".into()))
            }
        }
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
        key: Pkcs8Key::from(&request.key),
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
