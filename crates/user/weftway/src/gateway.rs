//! `weftway gateway`: the wiring of a standalone gateway.
//!
//! The process's first thread is the control thread: it reads documents, compiles, publishes plans
//! and serves the admin endpoint. Traffic is the workers' alone.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use weft_compile::{EntryPoint, Options, PemPair, World};
use weft_model::backend::Endpoint;
use weft_model::id::BackendId;
use weft_model::listener::Limits;
use weft_proxy::access_log::{self, AccessLog, Format};
use weft_proxy::live::Live;
use weft_proxy::plan::SharedPlan;
use weft_runtime::drain::{self, Drain, Drained, Watch};
use weft_runtime::metrics::Registry;
use weft_runtime::ready::Readiness;
use weft_runtime::signal::Termination;
use weft_runtime::{log, task, time, worker};
use weft_upstream::Prepared;
use weft_upstream::health::Prober;
use weft_upstream::resolve::{Resolved, Resolver};
use weft_upstream::shared::Shared;

use crate::admin::{self, AdminState};
use crate::args::{AccessLogFormat, AddressOrOff, DocumentArgs, GatewayArgs, LimitArgs};
use crate::fleet::{self, Fleet, Parts};
use crate::source::Source;

/// Runs until a signal has drained it.
pub(crate) fn run(args: GatewayArgs) -> anyhow::Result<ExitCode> {
    let format = if args.log_json { log::Format::Json } else { log::Format::Text };
    log::init(&args.log, format);
    let drained = worker::block_on(serve(args)).context("the runtime cannot be started")??;
    Ok(match drained {
        Drained::InTime => ExitCode::SUCCESS,
        Drained::Forced => {
            tracing::warn!("some requests were cut off");
            ExitCode::SUCCESS
        }
    })
}

async fn serve(args: GatewayArgs) -> anyhow::Result<Drained> {
    let mut termination = Termination::listen().context("signals cannot be handled")?;
    let (drain, watch) = drain::drain();
    let mut gateway = Gateway::start(&args, &watch)?;
    gateway.load().await;
    let admin = gateway.serve_admin(&args, &drain).await?;
    gateway.announce(&args, admin)?;
    loop {
        tokio::select! {
            name = termination.next() => {
                tracing::info!(signal = name, "draining");
                break;
            }
            () = gateway.source.changed() => gateway.load().await,
            () = gateway.resolved.changed() => gateway.publish().await,
        }
    }
    gateway.not_ready();
    drop(watch);
    let Gateway { fleet, .. } = gateway;
    let force = async {
        let name = termination.next().await;
        tracing::warn!(signal = name, "a second signal: cutting off what still runs");
    };
    let drained = drain.run(args.drain_timeout, force).await;
    fleet.join();
    Ok(drained)
}

/// A running gateway as the control thread sees it.
struct Gateway {
    source: Source,
    options: Options,
    fleet: Fleet,
    world: Option<World>,
    plan: Option<Arc<SharedPlan>>,
    readiness: Readiness,
    loading: Option<weft_runtime::ready::Blocker>,
    admin: watch::Sender<AdminState>,
    resolved: Resolved,
    backends: watch::Sender<Arc<Prepared>>,
    registry: Registry,
}
