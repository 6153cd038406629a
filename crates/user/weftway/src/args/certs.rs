//! What the user typed to look at a control plane, and to turn its certificates.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use super::{SupplyArgs, duration};

/// Arguments of `weftway certs`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CertsArgs {
    #[command(flatten)]
    pub(crate) asked: AskedArgs,

    #[command(subcommand)]
    pub(crate) command: Option<CertsCommand>,
}

/// Arguments of `weftway proxies`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ProxiesArgs {
    #[command(flatten)]
    pub(crate) asked: AskedArgs,

    #[command(subcommand)]
    pub(crate) command: Option<ProxiesCommand>,
}

/// What to do with proxies; without, each is shown with its version and what is in force on it.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum ProxiesCommand {
    /// Put this program in the place of the proxies that `weftway up` has started: it takes their
    /// sockets over and refuses no connection; each older proxy finishes what it has and ends.
    Upgrade(UpgradeArgs),
}

/// Arguments of `weftway proxies upgrade`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct UpgradeArgs {
    /// Workloads whose proxies are upgraded; without, all of them, and those that are started later.
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// What the proxies are to run; the program of this very command by default.
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Option<PathBuf>,
}

/// Which control plane is asked, and how its answer is printed.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AskedArgs {
    /// Folder of the control plane, as given to `weftway up` or `weftway control`.
    #[arg(long, value_name = "PATH", env = "WEFTWAY_STATE", global = true)]
    pub(crate) state: Option<PathBuf>,

    /// How it is printed.
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "table", global = true)]
    pub(crate) output: ListFormat,
}

/// What to do with the authority; without, every certificate is shown with its age and what would
/// break when.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(crate) enum CertsCommand {
    /// Replace the root by a new one: it is trusted everywhere before it signs, and the old one goes
    /// when nothing chains to it any more. Waits for the proxies between the steps; once
    /// interrupted, the same command goes on.
    Rotate(RotateArgs),
    /// Say how far a rotation is, and what it waits for.
    Status,
    /// Take back a rotation that is under way: the old root signs again, and the new one goes.
    Cancel(TurnArgs),
    /// Let an intermediate of yours sign, under the root that signs now.
    Intermediate(IntermediateArgs),
    /// Print a token that admits one workload of SCOPE, once: a SPIFFE id, or one that ends in `*`.
    Token(TokenArgs),
    /// Print the roots that the mesh trusts, PEM; what `weftway proxy --control-roots` takes.
    Roots,
}

/// Arguments of `weftway certs rotate`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    pub(crate) turn: TurnArgs,

    /// A root of yours takes over, in the place of one that is made.
    #[command(flatten)]
    pub(crate) supply: SupplyArgs,
}

/// Arguments of `weftway certs intermediate`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct IntermediateArgs {
    /// Its certificate, then whatever leads from it to the root; PEM.
    #[arg(value_name = "CERTIFICATE")]
    pub(crate) chain: PathBuf,

    /// Its key.
    #[arg(value_name = "KEY")]
    pub(crate) key: PathBuf,
}

/// How a rotation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub(crate) struct TurnArgs {
    /// Make the next step alone.
    #[arg(long)]
    pub(crate) step: bool,

    /// How long to wait for proxies while nothing changes.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// Arguments of `weftway certs token`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct TokenArgs {
    /// Whom it admits, such as spiffe://cluster.local/ns/shop/sa/cart, or .../ns/shop/sa/*.
    #[arg(value_name = "SCOPE")]
    pub(crate) scope: String,

    /// How long it is good; 30 days at most.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(crate) lifetime: Duration,
}

/// How lists are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}
