//! What the user typed for the roles of the mesh.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::ValueEnum;
use weft_node::permit::Permit;

use super::{AddressOrOff, AuthorityArgs, ListenArgs, ProcessArgs, address, address_or_off};

/// Arguments of `weftway proxy`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProxyArgs {
    /// The workload beside this proxy.
    #[arg(long, value_name = "NAMESPACE/NAME", env = "WEFTWAY_WORKLOAD")]
    pub(crate) workload: String,

    /// Its service account.
    #[arg(long, value_name = "NAME", env = "WEFTWAY_SERVICE_ACCOUNT", default_value = "default")]
    pub(crate) service_account: String,

    /// The control plane: the path of its socket, or HOST:PORT.
    #[arg(long, value_name = "PATH|ADDR", env = "WEFTWAY_CONTROL")]
    pub(crate) control: String,

    #[command(flatten)]
    pub(crate) link: LinkArgs,

    /// Capture nothing: be a forward proxy on this address, for applications that have it in
    /// `HTTP_PROXY`.
    #[arg(long, value_name = "IP", env = "WEFTWAY_EXPLICIT")]
    pub(crate) explicit: Option<IpAddr>,

    /// Address of `/readyz` and `/healthz` for others; `off` for none.
    #[arg(long, value_name = "ADDR", env = "WEFTWAY_READY", default_value = "0.0.0.0:15021")]
    #[arg(value_parser = address_or_off)]
    pub(crate) ready: AddressOrOff,

    /// Address of `/metrics` for others; `off` for none.
    #[arg(long, value_name = "ADDR", env = "WEFTWAY_METRICS", default_value = "0.0.0.0:15020")]
    #[arg(value_parser = address_or_off)]
    pub(crate) metrics: AddressOrOff,

    /// Where questions for names are answered.
    #[arg(long, value_name = "ADDR", env = "WEFTWAY_DNS", value_delimiter = ',')]
    #[arg(default_value = "127.0.0.1:15053,[::1]:15053")]
    pub(crate) dns: Vec<SocketAddr>,

    /// Who is asked for names outside of the mesh; those of /etc/resolv.conf by default.
    #[arg(long, value_name = "ADDR", env = "WEFTWAY_DNS_UPSTREAM", value_delimiter = ',')]
    pub(crate) dns_upstream: Vec<SocketAddr>,

    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

/// Arguments with which a gateway becomes part of a mesh.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Mesh")]
pub(crate) struct MemberArgs {
    /// Be part of the mesh of this control plane: the path of its socket, or HOST:PORT. Services of
    /// the mesh are then reached with mutual TLS.
    #[arg(long, value_name = "PATH|ADDR", env = "WEFTWAY_CONTROL")]
    pub(crate) control: Option<String>,

    /// What this gateway is called in the mesh.
    #[arg(long, value_name = "NAMESPACE/NAME", env = "WEFTWAY_WORKLOAD")]
    #[arg(default_value = "weftway-system/weftway-gateway")]
    pub(crate) workload: String,

    /// Its service account.
    #[arg(long, value_name = "NAME", env = "WEFTWAY_SERVICE_ACCOUNT")]
    #[arg(default_value = "weftway-gateway")]
    pub(crate) service_account: String,

    #[command(flatten)]
    pub(crate) link: LinkArgs,
}

/// How a member of a mesh finds its control plane, and what it keeps.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LinkArgs {
    /// The trust domain of the mesh.
    #[arg(long, value_name = "DOMAIN", env = "WEFTWAY_TRUST_DOMAIN")]
    #[arg(default_value = "cluster.local")]
    pub(crate) trust_domain: String,

    /// The domain below which services have names.
    #[arg(long, value_name = "DOMAIN", env = "WEFTWAY_DOMAIN", default_value = "cluster.local")]
    pub(crate) domain: String,

    /// Roots that the control plane's certificate must chain to, PEM; for HOST:PORT.
    #[arg(long, value_name = "FILE", env = "WEFTWAY_CONTROL_ROOTS")]
    pub(crate) control_roots: Option<PathBuf>,

    /// Who the control plane must prove to be; for HOST:PORT.
    #[arg(long, value_name = "SPIFFE-ID", env = "WEFTWAY_CONTROL_IDENTITY")]
    pub(crate) control_identity: Option<String>,

    /// A join token for the first certificate; for HOST:PORT.
    #[arg(long, value_name = "FILE", env = "WEFTWAY_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Folder for what has to outlive this process: the last configuration and the certificate.
    #[arg(long, value_name = "PATH", env = "WEFTWAY_STATE")]
    pub(crate) state: Option<PathBuf>,
}

/// Arguments of `weftway control`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ControlArgs {
    /// Files or folders of documents (YAML or JSON).
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1..)]
    pub(crate) files: Vec<PathBuf>,

    /// Folder for what has to outlive this process; the authority's sealed file among it.
    #[arg(long, value_name = "PATH", env = "WEFTWAY_STATE", default_value = "/var/lib/weftway")]
    pub(crate) state: PathBuf,

    /// Socket for proxies and commands of this machine.
    #[arg(long, value_name = "PATH", env = "WEFTWAY_CONTROL_SOCKET")]
    pub(crate) socket: Option<PathBuf>,

    /// Address for proxies of other machines, with mutual TLS.
    #[arg(long, value_name = "ADDR", env = "WEFTWAY_LISTEN", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) mesh: MeshArgs,

    /// Address of the admin endpoint; `off` for none.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15014")]
    #[arg(value_parser = address_or_off)]
    pub(crate) admin: AddressOrOff,

    /// How much the process log says.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,

    /// Process log as JSON.
    #[arg(long)]
    pub(crate) log_json: bool,
}

/// What holds in the whole mesh.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MeshArgs {
    /// The trust domain.
    #[arg(long, value_name = "DOMAIN", env = "WEFTWAY_TRUST_DOMAIN")]
    #[arg(default_value = "cluster.local")]
    pub(crate) trust_domain: String,

    /// The domain below which services have names.
    #[arg(long, value_name = "DOMAIN", env = "WEFTWAY_DOMAIN", default_value = "cluster.local")]
    pub(crate) domain: String,

    /// Calls to what the mesh does not know: `allow` or `refuse` (Istio's REGISTRY_ONLY).
    #[arg(long, value_name = "WHAT", default_value = "allow")]
    pub(crate) unknown: Unknown,

    #[command(flatten)]
    pub(crate) authority: AuthorityArgs,
}

/// Calls to what the mesh does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unknown {
    /// They pass.
    Allow,
    /// They are refused.
    Refuse,
}

/// Arguments of `weftway up`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct UpArgs {
    /// Files or folders of documents (YAML or JSON).
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1..)]
    pub(crate) files: Vec<PathBuf>,

    /// Folder for sockets, addresses and the authority's sealed file.
    #[arg(long, value_name = "PATH", env = "WEFTWAY_STATE")]
    pub(crate) state: Option<PathBuf>,

    /// Use addresses of the loopback interface even where namespaces can be had.
    #[arg(long)]
    pub(crate) loopback: bool,

    /// Start no gateway.
    #[arg(long)]
    pub(crate) no_gateway: bool,

    #[command(flatten)]
    pub(crate) listen: ListenArgs,

    /// Address of the gateway's admin endpoint; `off` for none.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15000")]
    #[arg(value_parser = address_or_off)]
    pub(crate) gateway_admin: AddressOrOff,

    /// A user who may run workloads in a namespace, as any or one of its service accounts: `alice=shop`,
    /// `1000=shop/cart`, `*=guests`. Root and who starts this may run all; others nothing.
    #[arg(long = "allow-user", value_name = "USER=NAMESPACE[/ACCOUNT]")]
    pub(crate) allow_users: Vec<Permit>,

    #[command(flatten)]
    pub(crate) mesh: MeshArgs,

    /// Address of the control plane's admin endpoint; `off` for none.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15014")]
    #[arg(value_parser = address_or_off)]
    pub(crate) admin: AddressOrOff,

    /// How much the process log says.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,
}

/// Arguments of `weftway run`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunArgs {
    /// The name of the workload, and of its service unless a document selects it; `shop/payments`
    /// puts it into a namespace.
    pub(crate) name: String,

    /// A port that the application listens on: `8080`, or `http:8080` with a name that says what is
    /// spoken.
    #[arg(short = 'p', long = "port", value_name = "[NAME:]PORT")]
    pub(crate) ports: Vec<String>,

    /// Its service account, which makes its identity.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) service_account: String,

    /// A label, for documents that select workloads.
    #[arg(short = 'l', long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,

    /// Inbound ports that are not captured.
    #[arg(long, value_name = "PORTS")]
    pub(crate) exclude_inbound_ports: Option<String>,

    /// Outbound ports that are not captured.
    #[arg(long, value_name = "PORTS")]
    pub(crate) exclude_outbound_ports: Option<String>,

    /// Folder of the node, as given to `weftway up`.
    #[arg(long, value_name = "PATH", env = "WEFTWAY_STATE")]
    pub(crate) state: Option<PathBuf>,

    /// The application and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

// === impl ProxyArgs ===

impl ProxyArgs {
    /// Where a newer process asks for the sockets: in the state folder unless said otherwise.
    pub(crate) fn takeover(&self) -> Option<PathBuf> {
        let own = || self.link.state.as_ref().map(|state| state.join("takeover.sock"));
        self.process.takeover.clone().or_else(own)
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let wanted = || "write NAME=VALUE, such as version=v2".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(wanted)?;
    if name.is_empty() { Err(wanted()) } else { Ok((name.into(), value.into())) }
}
