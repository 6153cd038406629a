//! Applications that call each other all the time, over HTTP/1.1, gRPC and TCP, on connections that
//! come and go, and that count what fails.
//!
//! An application begins to call when its folder has a file `go`, and ends its calls in order when
//! there is a file `stop`.

mod call;
mod count;
mod serve;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use weft_runtime::{task, time};
use weft_testkit::wait;

use crate::mesh::Mesh;
use crate::role;

use call::Caller;
use count::Counts;

/// What an application serves: connections of HTTP/1.1, gRPC and TCP.
pub(crate) const PORTS: [&str; 3] = ["8080", "9090", "7000"];

/// How often is looked what is to be done.
const POLL: Duration = Duration::from_millis(50);

/// How many connections of each kind one application has to the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// HTTP/1.1, a request after the other.
    pub(crate) http: u32,
    /// gRPC, a call after the other.
    pub(crate) grpc: u32,
    /// TCP, where the server speaks first.
    pub(crate) tcp: u32,
    /// gRPC with one stream that lives for seconds, and bytes in both directions on it.
    pub(crate) streams: u32,
}

/// Two applications that call each other.
pub(crate) struct Traffic {
    folder: PathBuf,
    /// Who calls, and over what.
    callers: Vec<(String, Vec<&'static str>)>,
}

/// What an application was told.
struct Role {
    load: Load,
    other: String,
    /// Where it serves.
    bind: IpAddr,
    /// A proxy that tunnels, where nothing is captured.
    proxy: Option<String>,
    folder: PathBuf,
    name: String,
}

// === impl Load ===

impl Load {
    /// 64 connections at one time.
    pub(crate) const FULL: Self = Self { http: 22, grpc: 18, tcp: 18, streams: 6 };

    /// It is called, and calls nobody.
    pub(crate) const NONE: Self = Self { http: 0, grpc: 0, tcp: 0, streams: 0 };

    /// For the way back.
    pub(crate) const LIGHT: Self = Self { http: 4, grpc: 3, tcp: 3, streams: 3 };

    fn kinds(self) -> Vec<&'static str> {
        let Self { http, grpc, tcp, streams } = self;
        let kinds = [("http", http), ("grpc", grpc), ("tcp", tcp), ("stream", streams)];
        kinds.into_iter().filter(|(_, count)| *count > 0).map(|(kind, _)| kind).collect()
    }
}

// === impl Traffic ===

impl Traffic {
    /// Payments and shop as workloads of a mesh, with the full load on payments. The calls have
    /// begun.
    pub(crate) fn start(mesh: &mut Mesh) -> Self {
        let mut traffic = Self::new(mesh.machine.folder());
        for (name, other, load) in
            [("payments", "shop", Load::LIGHT), ("shop", "payments", Load::FULL)]
        {
            let mut arguments = vec!["--service-account", name];
            PORTS.iter().for_each(|port| arguments.extend(["--port", port]));
            let argv = traffic.application(name, other, load, "0.0.0.0", "");
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            mesh.run(name, &arguments, &argv);
        }
        traffic.go();
        traffic
    }

    /// In a folder below this one. Nobody calls yet.
    pub(crate) fn new(folder: &Path) -> Self {
        let folder = folder.join("traffic");
        std::fs::create_dir(&folder).unwrap();
        Self { folder, callers: Vec::new() }
    }

    /// The application `name` as a command. With `proxy` (`HOST:PORT`) it calls through tunnels.
    pub(crate) fn application(
        &mut self,
        name: &str,
        other: &str,
        load: Load,
        bind: &str,
        proxy: &str,
    ) -> Vec<String> {
        self.callers.push((name.to_owned(), load.kinds()));
        let Load { http, grpc, tcp, streams } = load;
        let folder = self.folder.display();
        let words = format!("{name} {other} {http} {grpc} {tcp} {streams} {folder} {bind} {proxy}");
        role::command("traffic", &words)
    }

    /// The calls begin; waits until every kind has been answered a few times.
    pub(crate) fn go(&self) {
        std::fs::write(self.folder.join("go"), "").unwrap();
        self.goes_on();
    }

    /// Waits until calls of every kind were answered from now on.
    pub(crate) fn goes_on(&self) {
        for (name, kinds) in &self.callers {
            let before = self.counts(name);
            wait::until_true(&format!("more answers for {name}"), || {
                let now = self.counts(name);
                kinds.iter().all(|kind| calls(&now, kind) >= calls(&before, kind) + 20)
            });
        }
    }

    /// Ends the calls; nothing may have failed.
    pub(crate) fn stop_clean(&self) {
        std::fs::write(self.folder.join("stop"), "").unwrap();
        for (name, kinds) in &self.callers {
            wait::until_true(&format!("the end of the calls of {name}"), || {
                self.counts(name)["is_over"] == true
            });
            let counts = self.counts(name);
            for kind in kinds {
                let reasons = &counts[kind]["reasons"];
                assert_eq!(counts[kind]["failed"], 0, "{name}: {kind}: {reasons} of {counts}");
                assert!(counts[kind]["connections"].as_u64().unwrap() > 1, "no churn: {counts}");
            }
        }
    }

    /// What an application has counted so far.
    pub(crate) fn counts(&self, name: &str) -> Value {
        let text = std::fs::read(self.folder.join(format!("{name}.json"))).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

fn calls(counts: &Value, kind: &str) -> u64 {
    counts[kind]["calls"].as_u64().unwrap_or(0)
}

/// Is an application, as it is told.
pub(crate) async fn play(words: &str) {
    Role::read(words).play().await;
}

// === impl Role ===

impl Role {
    fn read(words: &str) -> Self {
        let role: Vec<&str> = words.split(' ').collect();
        let [name, other, http, grpc, tcp, streams, folder, bind, proxy] = role[..] else {
            panic!("{words}");
        };
        let number = |text: &str| text.parse().unwrap();
        Self {
            load: Load {
                http: number(http),
                grpc: number(grpc),
                tcp: number(tcp),
                streams: number(streams),
            },
            other: other.to_owned(),
            bind: bind.parse().unwrap(),
            proxy: (!proxy.is_empty()).then(|| proxy.to_owned()),
            folder: folder.into(),
            name: name.to_owned(),
        }
    }

    async fn play(self) {
        serve::start(self.bind).await;
        println!("{} serves", self.name);
        self.until("go").await;
        let counts = Counts::default();
        let caller = Caller::new(&self.other, self.proxy.clone(), counts.clone());
        let calling = caller.start(self.load);
        let is_stopped = task::spawn("stop", {
            let stop = self.folder.join("stop");
            async move { until_exists(&stop).await }
        });
        let mut is_over = false;
        let ending = task::spawn("ending", async move {
            let _ = is_stopped.await;
            calling.end().await;
        });
        tokio::pin!(ending);
        while !is_over {
            tokio::select! {
                _ = &mut ending => is_over = true,
                () = time::sleep(POLL) => {}
            }
            self.report(&counts, is_over);
        }
        // Until the node ends it.
        std::future::pending::<()>().await;
    }

    async fn until(&self, name: &str) {
        until_exists(&self.folder.join(name)).await;
    }

    fn report(&self, counts: &Counts, is_over: bool) {
        let mut report = counts.report();
        report["is_over"] = is_over.into();
        let path = self.folder.join(format!("{}.json", self.name));
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, report.to_string()).unwrap();
        std::fs::rename(&fresh, &path).unwrap();
    }
}

async fn until_exists(path: &Path) {
    while !path.exists() {
        time::sleep(POLL).await;
    }
}
