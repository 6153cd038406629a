//! A service of the demo's mesh, which does what it is told.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as Pair;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::UnixStream;
use weft_node::api::{Port, Registered, Run};
use weft_node::client::{Client, Notice, Running};
use weft_node::launch::Application;
use weft_node::life::Event;
use weft_node::plan::Exclusions;
use weft_runtime::time;

use super::Sample;
use crate::args::SampleProtocol;

/// A running instance. It ends when it is dropped.
pub(super) struct Service {
    /// The sample's name.
    pub(super) sample: &'static str,
    /// The connection to the node, which holds it.
    running: Running,
    /// Its standard input and output.
    orders: BufStream<UnixStream>,
}

/// What became of a load.
pub(super) struct Counts {
    pub(super) failed: u64,
    pub(super) error: Option<String>,
    /// Answers, by who has given them.
    pub(super) by: BTreeMap<String, u64>,
}

/// Proxy and service have started by then, or an order is done.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long service and proxy may take to end, milliseconds. Nobody waits for them.
const GRACE_MS: u64 = 3_000;

/// It does not say what is spoken: the proxies find out.
const PORT_NAME: &str = "api";

// === impl Service ===

impl Service {
    /// Starts it on the node at `socket`, and waits until it listens.
    pub(super) async fn start(socket: &Path, sample: &Sample, port: u16) -> anyhow::Result<Self> {
        let client = Client::connect(socket).await?;
        let (ours, theirs) = Pair::pair().context("no socket can be made")?;
        ours.set_nonblocking(true)?;
        let theirs = OwnedFd::from(theirs);
        let stderr = std::io::stderr();
        let run = request(sample, port)?;
        let running = client.run(run, theirs.as_fd(), theirs.as_fd(), stderr.as_fd()).await?;
        // What is left of it belongs to the service: its end is seen here.
        drop(theirs);
        let orders = BufStream::new(UnixStream::from_std(ours)?);
        let mut service = Self { sample: sample.name, running, orders };
        service.answer().await?;
        let listening = time::timeout(ANSWER_TIMEOUT, service.listening()).await;
        listening.map_err(|time::Elapsed| anyhow::anyhow!("nobody is led to it"))??;
        Ok(service)
    }

    /// Waits until the node has seen that it listens, from when on others are led to it.
    async fn listening(&mut self) -> anyhow::Result<()> {
        loop {
            match self.running.next().await? {
                Notice::Event(Event::ApplicationListens) => return Ok(()),
                Notice::Event(_) => {}
                Notice::Ended(_) => bail!("it has ended"),
            }
        }
    }

    pub(super) fn registered(&self) -> &Registered {
        self.running.registered()
    }

    /// Who it says to be.
    pub(super) fn workload(&self) -> String {
        self.registered().name.workload().to_string()
    }

    /// Makes it call `to` once; gives what `to` has said.
    pub(super) async fn call(&mut self, to: &Sample) -> anyhow::Result<Value> {
        let answer = self.order(&format!("call {} {}", word(to.protocol), to.authority())).await?;
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer),
        }
    }

    /// Makes it call `to` again and again, besides everything else.
    pub(super) async fn load(&mut self, to: &Sample) -> anyhow::Result<()> {
        let order = format!("load {} {}", word(to.protocol), to.authority());
        self.order(&order).await.map(drop)
    }

    /// What became of its loads so far, in their order.
    pub(super) async fn counts(&mut self) -> anyhow::Result<Vec<Counts>> {
        parse(&self.order("counts").await?)
    }

    /// Ends its loads, and gives what became of them.
    pub(super) async fn unload(&mut self) -> anyhow::Result<Vec<Counts>> {
        parse(&self.order("stop").await?)
    }

    async fn order(&mut self, order: &str) -> anyhow::Result<Value> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await?;
        self.orders.flush().await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<Value> {
        let mut line = String::new();
        let read = time::timeout(ANSWER_TIMEOUT, self.orders.read_line(&mut line)).await;
        match read.map_err(|time::Elapsed| anyhow::anyhow!("it says nothing"))?? {
            0 => bail!("it has ended"),
            _ => Ok(serde_json::from_str(&line)?),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Registered { name, service_account, addrs, namespace, .. } = self.registered();
        let name = name.name();
        write!(f, "{name:<12} {:<12} account {service_account}", addrs.v4)?;
        match namespace {
            Some(namespace) => write!(f, ", namespace {namespace}"),
            None => Ok(()),
        }
    }
}

// === impl Counts ===

impl Counts {
    pub(super) fn answered(&self) -> u64 {
        self.by.values().sum()
    }
}

fn request(sample: &Sample, port: u16) -> anyhow::Result<Run> {
    let program = std::env::current_exe().context("this program's own file is not known")?;
    let program = program.to_str().context("this program's path is no text")?;
    let argv = [program, "demo-service", word(sample.protocol), &port.to_string()];
    let argv = argv.map(str::to_owned).to_vec();
    Ok(Run {
        name: sample.name.parse()?,
        service_account: Some(sample.name.to_owned()),
        labels: BTreeMap::from([("app".to_owned(), sample.name.to_owned())]),
        ports: vec![Port { number: port, name: PORT_NAME.to_owned(), protocol: None }],
        exclusions: Exclusions::default(),
        application: Application { argv, env: Vec::new(), cwd: "/".into(), umask: 0o022 },
        user: None,
        grace_ms: Some(GRACE_MS),
        detach: false,
    })
}

/// How a protocol is written on a command line.
fn word(protocol: SampleProtocol) -> &'static str {
    match protocol {
        SampleProtocol::Http => "http",
        SampleProtocol::Grpc => "grpc",
        SampleProtocol::Tcp => "tcp",
    }
}

fn parse(counts: &Value) -> anyhow::Result<Vec<Counts>> {
    let one = |counts: &Value| {
        let by = counts["by"].as_object().context("counts without answers")?;
        Ok(Counts {
            failed: counts["failed"].as_u64().context("counts without failures")?,
            error: counts["error"].as_str().map(str::to_owned),
            by: by
                .iter()
                .map(|(name, count)| (name.clone(), count.as_u64().unwrap_or(0)))
                .collect(),
        })
    };
    counts.as_array().context("no list of counts")?.iter().map(one).collect()
}
