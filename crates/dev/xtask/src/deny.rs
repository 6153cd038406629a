//! Licences and banned crates, as `deny.toml` has them.

mod expression;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, bail};

use crate::run::{cargo, output, root, run, succeeds};

/// The part of `deny.toml` that [`check`] understands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) allowed: BTreeSet<String>,
    /// With the crates that may depend on each all the same, in their tests.
    pub(crate) banned: BTreeMap<String, BTreeSet<String>>,
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
    let packages = built("normal,build,dev")?;
    let mut broken = check(&policy, &packages, &root().to_string_lossy());
    broken.extend(shipped(&policy, &built("normal,build")?));
    for line in &broken {
        println!("{line}");
    }
    if !broken.is_empty() {
        bail!("{} packages break deny.toml", broken.len());
    }
    println!("{} packages keep to deny.toml", packages.len());
    Ok(())
}

/// Packages with the names of those that depend on each directly.
type Packages = BTreeMap<Built, BTreeSet<String>>;

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
fn check(policy: &Policy, packages: &Packages, root: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for (package, parents) in packages {
        let name = format!("{} {}", package.name, package.version);
        if let Some(wrappers) = policy.banned.get(&package.name)
            && (wrappers.is_empty() || !parents.is_subset(wrappers))
        {
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

/// One line for each package that only tests may have and the product has. cargo-deny does not make
/// this difference.
fn shipped(policy: &Policy, packages: &Packages) -> Vec<String> {
    let only_tests = |name: &str| policy.banned.get(name).is_some_and(|by| !by.is_empty());
    let found = packages.keys().filter(|package| only_tests(&package.name));
    found.map(|Built { name, version, .. }| format!("{name} {version}: only for tests")).collect()
}

/// What the workspace builds on this platform. `cargo tree` honours features; `cargo metadata`
/// also lists packages that no feature switches on.
fn built(edges: &str) -> anyhow::Result<Packages> {
    let mut tree = cargo();
    tree.args([
        "tree",
        "--workspace",
        "--edges",
        edges,
        "--prefix",
        "depth",
        "--format",
        "{p}|{l}",
    ]);
    parse_tree(&output(&mut tree)?)
}

/// Lines that begin with their depth. A package that was shown before is shown without what it
/// depends on, so each arrow is there.
fn parse_tree(text: &str) -> anyhow::Result<Packages> {
    let mut packages = Packages::new();
    let mut path: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let start = line.find(|char: char| !char.is_ascii_digit()).unwrap_or(line.len());
        let (depth, package) = line.split_at(start);
        path.truncate(depth.parse().context("a line without a depth")?);
        let package = Built::parse(package)?;
        let name = package.name.clone();
        packages.entry(package).or_default().extend(path.last().cloned());
        path.push(name);
    }
    Ok(packages)
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
        let text = |value: &toml::Value| value.as_str().map(str::to_owned);
        let ban = |value: &toml::Value| {
            let wrappers = value.get("wrappers").and_then(toml::Value::as_array);
            let wrappers = wrappers.into_iter().flatten().filter_map(text).collect();
            let name = text(value).or_else(|| text(value.get("crate")?));
            Some((name?, wrappers))
        };
        let policy = Self {
            allowed: list("licenses", "allow").iter().filter_map(text).collect(),
            banned: list("bans", "deny").iter().filter_map(ban).collect(),
        };
        if policy.allowed.is_empty() || policy.banned.is_empty() {
            bail!("deny.toml must list allowed licences and banned crates");
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests;
