//! What cargo knows about the workspace.

use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;

use crate::run;

/// The output of `cargo metadata`, as far as the checks need it.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) resolve: Option<Resolve>,
}

/// One package of the graph.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency as the manifest declares it.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// The graph after feature resolution.
#[derive(Debug, Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

/// A package with its resolved dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<NodeDep>,
}

/// One resolved arrow.
#[derive(Debug, Deserialize)]
pub(crate) struct NodeDep {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<DepKind>,
}

/// Why an arrow exists.
#[derive(Debug, Deserialize)]
pub(crate) struct DepKind {
    pub(crate) kind: Option<String>,
}

// === impl Metadata ===

impl Metadata {
    /// The whole graph for the platform we run on.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let host = run::output(std::process::Command::new("rustc").arg("-vV"))?;
        let host = host
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("rustc names no host")?
            .to_owned();
        let text = run::output(run::cargo().args([
            "metadata",
            "--format-version",
            "1",
            "--filter-platform",
            &host,
        ]))?;
        serde_json::from_str(&text).context("cannot read the output of cargo metadata")
    }

    pub(crate) fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.workspace_members.iter().filter_map(|id| self.package(id))
    }
}

// === impl Package ===

impl Package {
    /// The folder and the role of one of our crates: `core` and `model` for `crates/core/model`.
    pub(crate) fn place(&self) -> Option<(&str, &str)> {
        let role = self.manifest_path.parent()?;
        let folder = role.parent()?;
        Some((folder.file_name()?.to_str()?, role.file_name()?.to_str()?))
    }
}
