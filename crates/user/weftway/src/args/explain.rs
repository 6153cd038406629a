//! What the user typed for `weftway explain` and `weftway plan`.

use std::path::PathBuf;

use super::{DocumentArgs, ListFormat};

/// Arguments of `weftway explain`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The request: 'GET http://payments:8080/v2/charge'.
    pub(crate) request: Option<String>,

    /// A header of it: 'x-user: 7'.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,

    /// Explain a past request instead, by its `x-request-id`, as the access log has it.
    #[arg(long, value_name = "ID", conflicts_with_all = ["request", "headers"])]
    pub(crate) id: Option<String>,

    #[command(flatten)]
    pub(crate) at: WhereArgs,

    #[command(flatten)]
    pub(crate) documents: DocumentArgs,

    /// How it is printed.
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: ListFormat,
}

/// Which proxy is asked.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct WhereArgs {
    /// The workload that makes the request: NAME or NAMESPACE/NAME. Without it the gateway is meant;
    /// with --id, whoever has seen that request.
    #[arg(long, value_name = "WORKLOAD")]
    pub(crate) from: Option<String>,

    /// The folder of the mesh whose proxies are asked.
    #[arg(long, value_name = "PATH", env = "WEFTWAY_STATE")]
    pub(crate) state: Option<PathBuf>,

    /// The admin endpoint to ask instead: HOST:PORT.
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<String>,
}

/// Arguments of `weftway plan`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PlanArgs {
    /// Files or folders of documents that would be added, or take the place of those of their name.
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1.., required = true)]
    pub(crate) change: Vec<PathBuf>,

    /// Files or folders of the documents as they are; those of the running mesh by default.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) against: Vec<PathBuf>,

    /// Documents that would go: KIND/NAMESPACE/NAME.
    #[arg(long, value_name = "DOCUMENT")]
    pub(crate) without: Vec<String>,

    /// The folder of the running mesh.
    #[arg(long, value_name = "PATH", env = "WEFTWAY_STATE")]
    pub(crate) state: Option<PathBuf>,

    /// How it is printed.
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: ListFormat,
}
