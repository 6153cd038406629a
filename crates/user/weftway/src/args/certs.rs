//! What the user typed to look at a control plane, and to turn its certificates.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use super::duration;

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
    Rotate(TurnArgs),
    /// Say how far a rotation is, and what it waits for.
    Status,
    /// Take back a rotation that is under way: the old root signs again, and the new one goes.
    Cancel(TurnArgs),
    /// Print a token that admits one workload of SCOPE, once: a SPIFFE id, or one that ends in `*`.
    Token(TokenArgs),
    /// Print the roots that the mesh trusts, PEM; what `weftway proxy --control-roots` takes.
    Roots,
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
