//! What the user typed for the authority of a mesh.

use std::path::PathBuf;
use std::time::Duration;

use super::duration;

/// The authority of a mesh, and what seals it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Authority")]
pub(crate) struct AuthorityArgs {
    /// What seals the authority's file: a file of 32 bytes, or of 64 hexadecimal digits. Made in the
    /// state folder when nothing is named.
    #[arg(long, value_name = "FILE", env = "WEFTWAY_KEY_FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// The same by a passphrase: a file whose first line has at least 12 characters.
    #[arg(long, value_name = "FILE", env = "WEFTWAY_PASSPHRASE_FILE", conflicts_with = "key_file")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Yours instead of one that is made. It goes into the sealed file at the first start; later
    /// another root takes over by `weftway certs rotate`.
    #[command(flatten)]
    pub(crate) supply: SupplyArgs,

    /// How long certificates of workloads hold.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(crate) certificate_lifetime: Duration,
}

/// An authority of the operator's.
#[derive(Debug, Clone, PartialEq, Eq, Default, clap::Args)]
pub(crate) struct SupplyArgs {
    /// The certificate of a root of yours, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<PathBuf>,

    /// Its key. Without it there must be an intermediate.
    #[arg(long, value_name = "FILE", requires = "root")]
    pub(crate) root_key: Option<PathBuf>,

    /// The certificate of an intermediate of yours, then whatever leads from it to the root; one is
    /// made by default.
    #[arg(long, value_name = "FILE", requires = "root", requires = "intermediate_key")]
    pub(crate) intermediate: Option<PathBuf>,

    /// Its key.
    #[arg(long, value_name = "FILE", requires = "intermediate")]
    pub(crate) intermediate_key: Option<PathBuf>,
}
