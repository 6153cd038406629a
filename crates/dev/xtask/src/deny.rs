//! Licences and banned crates, as `deny.toml` has them.

mod expression;

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, bail};

use crate::run::{cargo, output, root, run, succeeds};

/// The part of `deny.toml` that [`check`] understands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) allowed: BTreeSet<String>,
    pub(crate) banned: BTreeSet<String>,
}

/// Runs cargo-deny where it is installed, and otherwise checks what can be checked without it.
pub(crate) fn run_deny() -> anyhow::Result<()> {
    if succeeds(Command::new("cargo-deny").arg("--version")) {
        return run(cargo().args(["deny", "check", "licenses", "bans", "sources"]));
    }
    println!("cargo-deny is not installed: licences, bans and sources are checked from cargo");
    println!("tree instead; licence texts and duplicate versions are not looked at");
    let text =
        std::fs::read_to_string(root().join("deny.toml")).context("cannot read deny.toml")?;
    let policy = Policy::parse(&text)?;
    let packages = built()?;
    let broken = check(&policy, &packages, &root().to_string_lossy());
    for line in &broken {
        println!("{line}");
    }
    if !broken.is_empty() {
        bail!("{} packages break deny.toml", broken.len());
    }
    println!("{} packages keep to deny.toml", packages.len());
    Ok(())
}

/// One package that is really built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Built {
    name: String,
    version: String,
    /// Absent for a package of the registry.
    origin: Option<String>,
    license: String,
}

/// One line for each package that breaks the policy.
fn check(policy: &Policy, packages: &BTreeSet<Built>, root: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        if policy.banned.contains(&package.name) {
            broken.push(format!("{name}: banned"));
        }
        let license = package.license.as_str();
        match expression::is_allowed(license, &policy.allowed) {
            _ if license.is_empty() => {
                broken.push(format!("{name}: the manifest names no licence"));
            }
            Ok(true) => {}
            Ok(false) => broken.push(format!("{name}: {license} is not allowed")),
            Err(error) => broken.push(format!("{name}: {license}: {error}")),
        }
        if package.origin.as_ref().is_some_and(|origin| !origin.starts_with(root)) {
            broken.push(format!("{name}: comes from neither a registry nor this workspace"));
        }
    }
    broken
}

/// What the workspace builds on this platform. `cargo tree` honours features; `cargo metadata`
/// also lists packages that no feature switches on.
fn built() -> anyhow::Result<BTreeSet<Built>> {
    let text = output(cargo().args([
        "tree",
        "--workspace",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ]))?;
    text.lines().filter(|line| !line.is_empty()).map(Built::parse).collect()
}

// === impl Built ===

impl Built {
    /// `name v1.2.3 (proc-macro) (/path)|MIT OR Apache-2.0 (*)`.
    fn parse(line: &str) -> anyhow::Result<Self> {
        let (package, license) = line.split_once('|').context("a line without a licence")?;
        let mut words = package.split_whitespace();
        let name = words.next().context("a line without a name")?;
        let version = words.next().context("a line without a version")?;
        let origin = words
            .map(|word| word.trim_matches(['(', ')']))
            .find(|word| !matches!(*word, "proc-macro" | "*"));
        Ok(Self {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            origin: origin.map(str::to_owned),
            license: license.trim_end_matches("(*)").trim().to_owned(),
        })
    }
}

// === impl Policy ===

impl Policy {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse().context("deny.toml is not TOML")?;
        let list = |section: &str, key: &str| {
            let value = table.get(section).and_then(|section| section.get(key));
            value.and_then(toml::Value::as_array).cloned().unwrap_or_default()
        };
        let name = |value: &toml::Value| {
            let text = value.as_str().or_else(|| value.get("crate")?.as_str());
            text.map(str::to_owned)
        };
        let policy = Self {
            allowed: list("licenses", "allow").iter().filter_map(name).collect(),
            banned: list("bans", "deny").iter().filter_map(name).collect(),
        };
        if policy.allowed.is_empty() || policy.banned.is_empty() {
            bail!("deny.toml must list allowed licences and banned crates");
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests;
