//! What the user typed. Nothing here touches the system.

mod authority;
mod certs;
mod explain;
mod mesh;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use weft_proxy::spool::SpoolArea;

pub(crate) use authority::{AuthorityArgs, SupplyArgs};
pub(crate) use certs::{
    AskedArgs, CertsArgs, CertsCommand, IntermediateArgs, ListFormat, ProxiesArgs, ProxiesCommand,
    TokenArgs, TurnArgs, UpgradeArgs,
};
pub(crate) use explain::{ExplainArgs, PlanArgs, WhereArgs};
pub(crate) use mesh::{
    ControlArgs, LinkArgs, MemberArgs, MeshArgs, ProxyArgs, RunArgs, Unknown, UpArgs,
};

/// Service mesh and API gateway in one binary.
#[derive(Debug, Parser)]
#[command(name = "weftway", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a standalone gateway on the files you already have; they are watched.
    Gateway(Box<GatewayArgs>),
    /// Print every problem of every document, with file, line and fix. Exits 1 if there is an error.
    Analyze(AnalyzeArgs),
    /// Say what would become of a request, and why: by files, or by a proxy that runs.
    Explain(Box<ExplainArgs>),
    /// Say what a change of documents would change, before it is made.
    Plan(Box<PlanArgs>),
    /// Show everything on sample services.
    Demo(DemoArgs),
    /// Be one of the services of the demo's mesh.
    #[command(hide = true)]
    DemoService(DemoServiceArgs),
    /// Load a URL and print latencies.
    Bench(BenchArgs),
    /// Start a mesh on this machine: control plane, authority and node.
    Up(UpArgs),
    /// Add a process to the mesh of this machine, with an address, a name and a proxy.
    Run(RunArgs),
    /// Run the proxy beside one workload.
    Proxy(Box<ProxyArgs>),
    /// Run a control plane by itself.
    Control(ControlArgs),
    /// Show every certificate of a mesh, its age and what would break when; rotate the root.
    Certs(CertsArgs),
    /// Show each proxy of a mesh and what it has of the configuration; upgrade proxies in place.
    Proxies(ProxiesArgs),
    /// Print a completion script for your shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the version.
    Version,
}

/// Arguments of `weftway gateway`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GatewayArgs {
    #[command(flatten)]
    pub(crate) documents: DocumentArgs,

    #[command(flatten)]
    pub(crate) process: ProcessArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) member: MemberArgs,
}

/// How a process runs that serves traffic.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProcessArgs {
    /// Address of the admin endpoint (metrics, health, configuration); `off` for none.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15000")]
    #[arg(value_parser = address_or_off)]
    pub(crate) admin: AddressOrOff,

    /// Worker threads; one a core by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,

    /// Access log on standard output.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) access_log: AccessLogFormat,

    /// How much the process log says: error, warn, info, debug, trace, or a filter such as
    /// `info,weft_proxy=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,

    /// Process log as JSON.
    #[arg(long)]
    pub(crate) log_json: bool,

    /// Write the bound addresses to this file, as JSON, once ready.
    #[arg(long, value_name = "PATH")]
    pub(crate) address_file: Option<PathBuf>,

    /// Upgrade in place: take the listening sockets over from the process that waits at this socket,
    /// if there is one, and wait there for a newer one, to pass them on and drain.
    #[arg(long, value_name = "PATH", env = "WEFTWAY_TAKEOVER")]
    pub(crate) takeover: Option<PathBuf>,

    /// How long requests may go on after SIGTERM; a second signal ends them at once.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) drain_timeout: Duration,

    /// Folder for bodies that are buffered and too large for memory; the system's folder for
    /// temporary files by default. They have no name there.
    #[arg(long, value_name = "PATH")]
    pub(crate) spool_dir: Option<PathBuf>,

    /// What buffered bodies may take in files in all, bytes.
    #[arg(long, value_name = "N", default_value_t = SpoolArea::BYTES_MAX)]
    pub(crate) spool_bytes_max: u64,
}

/// Which documents, and what they need besides.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DocumentArgs {
    /// Files or folders of documents (YAML or JSON).
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1..)]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) listen: ListenArgs,

    /// Addresses of a service.
    #[arg(long, value_name = "NAME:PORT=ADDR[,ADDR]", value_parser = backend)]
    pub(crate) backend: Vec<BackendArg>,

    /// Certificate chain served when no other fits, PEM. Watched.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Believe forwarding headers (`X-Forwarded-*`) of these peers.
    #[arg(long, value_name = "NET", value_delimiter = ',', value_parser = net)]
    pub(crate) trust_forwarded_from: Vec<IpNet>,

    /// Expect and believe the PROXY protocol of these peers.
    #[arg(long, value_name = "NET", value_delimiter = ',', value_parser = net)]
    pub(crate) trust_proxy_protocol_from: Vec<IpNet>,

    /// How long the share of a new endpoint grows, where its Service does not say
    /// (`weftway.io/slow-start`); 0s is not at all.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub(crate) slow_start: Duration,

    /// Retries allowed for each backend and worker, in percent of its requests of the last ten
    /// seconds, besides ten a second; `off` for no bound.
    #[arg(long, value_name = "PERCENT", default_value = "20", value_parser = percent_or_off)]
    pub(crate) retry_budget: PercentOrOff,

    /// What becomes of `%2F` in a path: `reject` answers 400, `keep` passes it on encoded. Keep it
    /// only where no backend decodes it before it decides what a client may see.
    #[arg(long, value_name = "WHAT", default_value = "reject")]
    pub(crate) encoded_slash: EncodedSlash,

    /// Let Traefik resources refer to other namespaces.
    #[arg(long)]
    pub(crate) allow_cross_namespace: bool,

    /// Let routes lead to Services of type ExternalName.
    #[arg(long)]
    pub(crate) allow_external_names: bool,
}

/// Where a gateway listens.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListenArgs {
    /// Address of the entry point `web`.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080", value_parser = address)]
    pub(crate) http: SocketAddr,

    /// Address of the entry point `websecure`.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8443", value_parser = address)]
    pub(crate) https: SocketAddr,

    /// A further entry point.
    #[arg(long, value_name = "NAME=ADDR", value_parser = entry_point)]
    pub(crate) entry_point: Vec<(String, SocketAddr)>,

    /// Bind ports of Gateways and Ingresses elsewhere: `80=8080,443=8443`. Port 0 asks the system.
    #[arg(long, value_name = "FROM=TO", value_delimiter = ',', value_parser = port_pair)]
    pub(crate) port_map: Vec<(u16, u16)>,

    /// Address that ports of Gateways and Ingresses are bound on.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub(crate) bind: IpAddr,
}

/// Bounds on what peers may send. docs/running.md has the defaults with their reasons.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Time for a request head [default: 10s].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) head_timeout: Option<Duration>,

    /// Time for TLS and PROXY headers [default: 10s].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) handshake_timeout: Option<Duration>,

    /// Time between two requests of a connection [default: 180s].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Time in which a body has to move [default: 60s].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) body_idle_timeout: Option<Duration>,

    /// Size of a request head, bytes, at most 65536 [default: 65536].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(256..=65536))]
    pub(crate) head_bytes_max: Option<u32>,

    /// Lines of a request head [default: 128].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) head_fields_max: Option<u16>,

    /// Length of a request target, bytes [default: 16384].
    #[arg(long, value_name = "N")]
    pub(crate) target_bytes_max: Option<u32>,

    /// Open connections of one listener [default: 100000].
    #[arg(long, value_name = "N")]
    pub(crate) connections_max: Option<u32>,

    /// Requests at one time on one HTTP/2 connection [default: 250].
    #[arg(long, value_name = "N")]
    pub(crate) h2_streams_max: Option<u32>,

    /// Streams that one HTTP/2 peer may reset within ten seconds [default: 200].
    #[arg(long, value_name = "N")]
    pub(crate) h2_resets_max: Option<u32>,

    /// Control frames that one HTTP/2 peer may send within ten seconds, besides ten for each request
    /// and for each DATA frame that it was sent [default: 1000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..))]
    pub(crate) h2_control_frames_max: Option<u32>,

    /// Memory that one connection may hold in buffers, bytes [default: 4194304].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(65536..))]
    pub(crate) connection_memory_bytes_max: Option<u32>,

    /// Requests on one connection before it is closed in order; 0 is no bound [default: 0].
    #[arg(long, value_name = "N")]
    pub(crate) requests_per_connection_max: Option<u32>,
}

/// Arguments of `weftway analyze`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AnalyzeArgs {
    #[command(flatten)]
    pub(crate) documents: DocumentArgs,

    /// How problems are printed.
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: AnalyzeFormat,
}

/// Arguments of `weftway demo`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoArgs {
    /// Check every answer and end; exits 1 when one is wrong.
    #[arg(long)]
    pub(crate) once: bool,

    /// Show the mesh on addresses of the loopback interface even where namespaces can be had.
    #[arg(long)]
    pub(crate) loopback: bool,
}

/// Arguments of `weftway demo-service`. What the node tells every application is read as any
/// application would read it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DemoServiceArgs {
    /// What it speaks.
    pub(crate) protocol: SampleProtocol,

    /// Where it listens.
    pub(crate) port: u16,

    /// Who it is.
    #[arg(long, env = "WEFTWAY_WORKLOAD")]
    pub(crate) workload: String,

    /// Its address.
    #[arg(long, env = "WEFTWAY_ADDRESS")]
    pub(crate) address: IpAddr,

    /// The proxy that its calls go through, unless they are captured: `http://127.77.0.2:15001`.
    #[arg(long, env = "HTTP_PROXY")]
    pub(crate) proxy: Option<String>,
}

/// What a sample service of the demo's mesh speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SampleProtocol {
    /// HTTP/1.1.
    Http,
    /// gRPC.
    Grpc,
    /// Lines over TCP, of which the server sends the first.
    Tcp,
}

/// Arguments of `weftway bench`, named as in `hey`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BenchArgs {
    /// What to load.
    pub(crate) url: String,

    /// Connections.
    #[arg(short = 'c', long, value_name = "N", default_value_t = 50)]
    pub(crate) connections: usize,

    /// Requests in all.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) requests: Option<u64>,

    /// How long, instead of a number of requests.
    #[arg(short = 'z', long, value_name = "DURATION", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// Requests a second over all connections (open loop: latency counts from the intended start).
    #[arg(short = 'q', long, value_name = "RATE")]
    pub(crate) rate: Option<f64>,

    /// Method.
    #[arg(short = 'm', long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: String,

    /// Header, `name: value`; may be given often.
    #[arg(short = 'H', long, value_name = "HEADER")]
    pub(crate) header: Vec<String>,

    /// Body.
    #[arg(short = 'd', long, value_name = "TEXT", conflicts_with = "body_file")]
    pub(crate) body: Option<String>,

    /// Body from a file.
    #[arg(short = 'D', long, value_name = "FILE")]
    pub(crate) body_file: Option<PathBuf>,

    /// Time for one request.
    #[arg(short = 't', long, value_name = "DURATION", default_value = "20s")]
    #[arg(value_parser = duration)]
    pub(crate) timeout: Duration,

    /// HTTP/2.
    #[arg(long)]
    pub(crate) h2: bool,

    /// Streams at a time on one HTTP/2 connection.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) streams: usize,

    /// Accept any certificate.
    #[arg(short = 'k', long)]
    pub(crate) insecure: bool,

    /// A new connection for each request.
    #[arg(long)]
    pub(crate) disable_keepalive: bool,

    /// Threads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) threads: usize,

    /// How the result is printed.
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: BenchFormat,
}

/// How the access log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessLogFormat {
    /// None.
    Off,
    /// `key=value`.
    Text,
    /// JSON.
    Json,
}

/// What becomes of an encoded slash in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncodedSlash {
    /// The request is answered 400.
    Reject,
    /// It goes on as it came.
    Keep,
}

/// How problems are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnalyzeFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How a load's result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// An address, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressOrOff {
    Address(SocketAddr),
    Off,
}

/// A share of requests, or no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PercentOrOff {
    Percent(u32),
    Off,
}

/// Addresses of a service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackendArg {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) addrs: Vec<SocketAddr>,
}

// === impl Args ===

impl Args {
    /// What was typed, as far as it belongs together. Ends the process with 2 otherwise.
    pub(crate) fn parse_and_check() -> Self {
        let args = Self::parse();
        let (listen, lacks_documents) = match &args.command {
            // In a mesh, documents may come later.
            Command::Gateway(args) => {
                let lacks = args.documents.files.is_empty() && args.member.control.is_none();
                (&args.documents.listen, lacks)
            }
            Command::Analyze(args) => (&args.documents.listen, args.documents.files.is_empty()),
            Command::Up(args) => (&args.listen, false),
            _ => return args,
        };
        if lacks_documents {
            let why = "the following required arguments were not provided:\n  --file <PATH>...";
            Self::command().error(ErrorKind::MissingRequiredArgument, why).exit();
        }
        if let Err(why) = listen.entry_points() {
            Self::command().error(ErrorKind::ArgumentConflict, why).exit();
        }
        args
    }
}

// === impl ListenArgs ===

impl ListenArgs {
    /// The same, as they are typed.
    pub(crate) fn typed(&self) -> Vec<String> {
        // In full, so that a new argument cannot be forgotten.
        let Self { http, https, entry_point, port_map, bind } = self;
        let mut typed =
            vec![format!("--http={http}"), format!("--https={https}"), format!("--bind={bind}")];
        typed.extend(entry_point.iter().map(|(name, addr)| format!("--entry-point={name}={addr}")));
        typed.extend(port_map.iter().map(|(from, to)| format!("--port-map={from}={to}")));
        typed
    }

    /// The entry points by name. `--entry-point web=ADDR` takes the place of `--http`, and
    /// `websecure` that of `--https`.
    ///
    /// # Errors
    ///
    /// When a name is given twice, or two of them have one address: their routers would be served
    /// as those of one, whatever `entryPoints` says.
    pub(crate) fn entry_points(&self) -> Result<Vec<(&str, SocketAddr)>, String> {
        let mut named: Vec<(&str, SocketAddr)> = Vec::new();
        for (name, addr) in &self.entry_point {
            if named.iter().any(|(known, _)| known == name) {
                return Err(format!("the entry point `{name}` is given twice"));
            }
            named.push((name, *addr));
        }
        let usual = [("web", self.http), ("websecure", self.https)];
        for (name, addr) in usual.into_iter().rev() {
            if !named.iter().any(|(own, _)| *own == name) {
                named.insert(0, (name, addr));
            }
        }
        for (index, (name, addr)) in named.iter().enumerate() {
            let shares = |(_, other): &&(&str, SocketAddr)| other == addr && addr.port() != 0;
            if let Some((first, _)) = named[..index].iter().find(shares) {
                return Err(format!(
                    "the entry points `{first}` and `{name}` have the same address, {addr} (see \
                     --http, --https and --entry-point)"
                ));
            }
        }
        Ok(named)
    }
}

/// An address to listen on. `:80` is every address of the machine, as Traefik's entry points write
/// it.
fn address(text: &str) -> Result<SocketAddr, String> {
    let every = text.strip_prefix(':').and_then(|port| port.parse().ok());
    every
        .map(|port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
        .or_else(|| text.parse().ok())
        .ok_or_else(|| "write IP:PORT, such as 0.0.0.0:8080, or :8080 for every address".into())
}

fn address_or_off(text: &str) -> Result<AddressOrOff, String> {
    match text {
        "off" => Ok(AddressOrOff::Off),
        text => address(text)
            .map(AddressOrOff::Address)
            .map_err(|_| "write an address such as 127.0.0.1:15000, or `off`".into()),
    }
}

/// Traefik's most zealous retries stay below ten for each request.
fn percent_or_off(text: &str) -> Result<PercentOrOff, String> {
    const PERCENT_MAX: u32 = 1_000;
    if text == "off" {
        return Ok(PercentOrOff::Off);
    }
    let percent = text.strip_suffix('%').unwrap_or(text).parse().ok();
    percent
        .filter(|percent| *percent <= PERCENT_MAX)
        .map(PercentOrOff::Percent)
        .ok_or_else(|| format!("write a percentage from 0 to {PERCENT_MAX}, or `off`"))
}

fn entry_point(text: &str) -> Result<(String, SocketAddr), String> {
    let wanted = "write NAME=ADDR, such as metrics=127.0.0.1:9100";
    let (name, addr) = text.split_once('=').ok_or(wanted)?;
    if name.is_empty() {
        return Err(wanted.into());
    }
    Ok((name.into(), address(addr).map_err(|_| wanted)?))
}

fn backend(text: &str) -> Result<BackendArg, String> {
    let wanted = "write NAME:PORT=ADDR[,ADDR], such as greeter:8080=127.0.0.1:9000";
    let (service, addrs) = text.split_once('=').ok_or(wanted)?;
    let (name, port) = service.rsplit_once(':').ok_or(wanted)?;
    if name.is_empty() {
        return Err(wanted.into());
    }
    let port = port.parse().map_err(|_| wanted)?;
    let parsed = addrs.split(',').map(|addr| {
        addr.parse().map_err(|_| format!("`{addr}` is not IP:PORT, such as 127.0.0.1:9000"))
    });
    Ok(BackendArg { name: name.into(), port, addrs: parsed.collect::<Result<_, String>>()? })
}

fn port_pair(text: &str) -> Result<(u16, u16), String> {
    let wanted = "write FROM=TO, such as 80=8080";
    let (from, to) = text.split_once('=').ok_or(wanted)?;
    Ok((from.parse().map_err(|_| wanted)?, to.parse().map_err(|_| wanted)?))
}

fn net(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "write an address or a network such as 10.0.0.0/8".into())
}

/// `250ms`, `30s`, `5m`, `1h`, or several of them in a row.
fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "write a duration such as 250ms, 30s or 1m30s".to_owned();
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wanted()),
        };
        let number: f64 = number.parse().map_err(|_| wanted())?;
        let secs = Duration::try_from_secs_f64(number * scale).map_err(|_| wanted())?;
        total = total.checked_add(secs).ok_or_else(wanted)?;
        rest = tail;
    }
    if text.is_empty() { Err(wanted()) } else { Ok(total) }
}

#[cfg(test)]
mod tests;
