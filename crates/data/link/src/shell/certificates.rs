//! The certificate, and the roots to trust.

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tonic::{Code, Request, Status, Streaming};
use weft_authority::{KeyRequest, renew_at};
use weft_runtime::time;
use weft_tls::mesh::Pkcs8Key;
use weft_wire::VERSION;
use weft_wire::certificate::{
    ROOTS_PATH, RootsRequest, RootsResponse, SIGN_PATH, SignRequest, SignResponse, TOKEN_KEY,
};

use super::{Broken, Done, Shared, describe};
use crate::backoff::Backoff;
use crate::channel::Channel;
use crate::held::{Held, Unusable};

/// The longest sleep: the clock of the system may jump meanwhile, as when a laptop wakes up.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Asks for a certificate, for a fresh key, and puts it in force.
pub(super) async fn renew(
    shared: &Shared,
    channel: &Channel,
    token: Option<&str>,
) -> Result<(), Broken> {
    let key = KeyRequest::generate();
    let settings = &shared.settings;
    let mut request = Request::new(SignRequest {
        csr: key.csr.to_vec(),
        workload: settings.workload.to_string(),
        identity: settings.identity.to_string(),
        version: VERSION,
    });
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse();
        let value = value.map_err(|_| Status::invalid_argument("the join token is none"));
        request.metadata_mut().insert(TOKEN_KEY, value.map_err(Broken::Refused)?);
    }
    let answer = channel.unary::<_, SignResponse>(SIGN_PATH, request);
    let answer = time::timeout(settings.times.connect, answer).await.map_err(|_| Broken::Late)?;
    let SignResponse { chain, roots, version: _ } = answer.map_err(Broken::Refused)?;
    let now = settings.clock.now();
    let held = Held::new(Pkcs8Key::from(key.key()), chain, roots, &settings.identity, now);
    shared.put_in_force(held.map_err(unusable)?)?;
    shared.settle();
    tracing::info!(identity = %settings.identity, "there is a new certificate");
    Ok(())
}

/// Renews the certificate whenever it is time.
pub(super) async fn renew_in_time(shared: &Shared, channel: &Channel) -> Infallible {
    let retry_max = shared.settings.times.renew_retry_max;
    let mut backoff = Backoff::new(shared.settings.seed, retry_max);
    let mut jitter = shared.rng.ratio();
    let mut succeeded = shared.succeeded.subscribe();
    loop {
        if *succeeded.borrow_and_update() {
            return pending().await;
        }
        let Some(held) = shared.held.borrow().clone() else { return pending().await };
        let at = renew_at(held.validity.not_before, held.validity.not_after, jitter);
        let left = until(shared, at);
        if !left.is_zero() {
            tokio::select! {
                () = time::sleep(left.min(SLEEP_MAX)) => {}
                _ = succeeded.changed() => {}
            }
            continue;
        }
        match renew(shared, channel, None).await {
            Ok(()) => {
                backoff.reset();
                jitter = shared.rng.ratio();
            }
            Err(error) => {
                let left = held.validity.not_after.duration_since(shared.settings.clock.now());
                let left_secs = left.unwrap_or_default().as_secs();
                tracing::warn!(
                    error = describe(&error),
                    left_secs,
                    "the certificate is not renewed"
                );
                time::sleep(backoff.next().min(shared.patience())).await;
            }
        }
    }
}

/// Follows the roots to trust, and says which are, until the stream breaks or the proxy ends.
pub(super) async fn roots(shared: &Shared, channel: &Channel) -> Result<Done, Broken> {
    let times = shared.settings.times;
    let mut held = shared.held.subscribe();
    let opened = channel.stream::<RootsRequest, RootsResponse>(ROOTS_PATH);
    let opened = time::timeout(times.connect, opened).await.map_err(|_| Broken::Late)?;
    let (requests, mut responses) = match opened {
        Ok(opened) => opened,
        // A control plane that does not know of it gives no other roots either.
        Err(status) if status.code() == Code::Unimplemented => return pending().await,
        Err(status) => return Err(Broken::Refused(status)),
    };
    let mut renew_at = None;
    loop {
        let report = report(shared, false);
        let sent = time::timeout(times.connect, requests.send(report));
        sent.await.map_err(|_| Broken::Late)?.map_err(|_| Broken::Ended)?;
        loop {
            tokio::select! {
                message = responses.message() => {
                    let message = message.map_err(Broken::Refused)?.ok_or(Broken::Ended)?;
                    let is_last = *shared.succeeded.borrow();
                    if message.renew && renew_at.is_none() && !is_last {
                        // Not all proxies at once.
                        let wait = times.renew_spread.mul_f64(shared.rng.ratio());
                        renew_at = Some(time::now() + wait);
                    }
                    take(shared, message)?;
                }
                _ = held.changed() => break,
                () = sleep_until(renew_at) => {
                    renew_at = match renew(shared, channel, None).await {
                        Ok(()) => None,
                        Err(error) => {
                            tracing::warn!(error = describe(&error), "the certificate is not renewed");
                            Some(time::now() + times.renew_spread)
                        }
                    };
                }
                () = shared.ending() => {
                    return goodbye(shared, requests, responses).await;
                }
            }
        }
    }
}

/// Says that the certificate is presented no more, and waits until that was heard.
async fn goodbye(
    shared: &Shared,
    requests: tokio::sync::mpsc::Sender<RootsRequest>,
    mut responses: Streaming<RootsResponse>,
) -> Result<Done, Broken> {
    let limit = shared.settings.times.connect;
    let said = time::timeout(limit, async {
        if requests.send(report(shared, true)).await.is_ok() {
            drop(requests);
            while let Ok(Some(_)) = responses.message().await {}
        }
    });
    // Without it the authority waits until the certificate ends, and that is all.
    let _ = said.await;
    Ok(Done::Ending)
}

/// Other roots. Those that are in force already are no news.
fn take(shared: &Shared, message: RootsResponse) -> Result<(), Broken> {
    let Some(held) = shared.held.borrow().clone() else { return Ok(()) };
    let next = held.with_roots(message.roots).map_err(unusable)?;
    if next.bundle.is_empty() || next.bundle == held.bundle {
        return Ok(());
    }
    tracing::info!(roots = next.bundle.len(), "the roots to trust have changed");
    shared.put_in_force(next)
}

fn report(shared: &Shared, goodbye: bool) -> RootsRequest {
    let settings = &shared.settings;
    let mut request = RootsRequest {
        workload: settings.workload.to_string(),
        identity: settings.identity.to_string(),
        goodbye,
        ..Default::default()
    };
    if let Some(held) = &*shared.held.borrow() {
        let trusted = held.bundle.fingerprints();
        request.trusted = trusted.map(|root| root.as_bytes().to_vec()).collect();
        request.own = held.root.as_bytes().to_vec();
        let not_after = held.validity.not_after.duration_since(UNIX_EPOCH);
        request.own_not_after_secs = not_after.unwrap_or_default().as_secs();
    }
    request
}

async fn sleep_until(at: Option<std::time::Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => pending().await,
    }
}

fn until(shared: &Shared, at: SystemTime) -> Duration {
    at.duration_since(shared.settings.clock.now()).unwrap_or_default()
}

fn unusable(error: Unusable) -> Broken {
    Broken::Certificate(error.into())
}
