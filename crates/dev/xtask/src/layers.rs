//! Which crate may depend on which. The folders under `crates/` are layers; an arrow goes down,
//! never up and never across.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};

use crate::metadata::{Metadata, Package};

/// Layers, lowest first. Folders of one entry are beside each other: no arrow between them.
const LAYERS: &[&[&str]] =
    &[&["core"], &["format"], &["io"], &["data", "control"], &["local"], &["user"], &["dev"]];

/// Arrows inside a folder. A crate that is not listed has none.
const INSIDE: &[(&str, &str, &[&str])] = &[
    ("core", "model", &["message", "resilience"]),
    ("core", "route", &["message", "model"]),
    ("core", "policy", &["message", "model", "resilience"]),
    ("core", "compile", &["message", "model", "resilience", "resources", "route", "policy"]),
    ("core", "explain", &["message", "model", "resilience", "route"]),
    ("core", "inject", &["resources"]),
    ("core", "authority", &["model"]),
    ("io", "tls", &["net"]),
    ("io", "dns", &["runtime"]),
    ("io", "http", &["runtime", "net"]),
    ("io", "source-file", &["runtime"]),
    ("data", "proxy", &["upstream", "link"]),
    ("control", "controlplane", &["source-kube", "distribute"]),
    ("local", "node", &["apiserver"]),
    ("user", "weftway", &["load", "dashboard", "resilience-tower"]),
    ("dev", "xtask", &["compatibility"]),
];

/// Crates for other people's programs: of ours they reach only these, by any way and in tests as
/// well. What the lints forbid elsewhere (a clock) each of them has in one module of its own.
const ALONE: &[(&str, &str, &[&str])] =
    &[("user", "resilience-tower", &["resilience-tower", "weft-resilience"])];

/// What would give the core a clock, a socket, an executor or a wire format.
const BANNED_FROM_CORE: &[&str] =
    &["tokio", "hyper", "h2", "rustls", "prost", "tonic", "axum", "mio", "socket2", "rustix"];

/// Randomness is an argument. Hashers below us may seed themselves, so only the manifest counts.
const BANNED_FROM_CORE_MANIFESTS: &[&str] = &["rand", "getrandom", "fastrand"];

/// One of our crates, as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) folder: String,
    pub(crate) role: String,
    pub(crate) deps: Vec<Dep>,
    /// Everything reached by normal dependencies, our own crates included.
    pub(crate) reached: BTreeSet<String>,
    pub(crate) inherits_lints: bool,
}

/// One dependency in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dep {
    pub(crate) name: String,
    pub(crate) is_dev: bool,
}

/// Checks the workspace.
pub(crate) fn run_layers() -> anyhow::Result<()> {
    let crates = load(&Metadata::load()?)?;
    let broken = check(&crates);
    for line in &broken {
        println!("{line}");
    }
    if !broken.is_empty() {
        bail!("{} broken layer rules", broken.len());
    }
    println!("{} crates keep to their layers", crates.len());
    Ok(())
}

/// One line for each broken rule.
pub(crate) fn check(crates: &[Crate]) -> Vec<String> {
    let by_name: BTreeMap<&str, &Crate> =
        crates.iter().map(|member| (member.name.as_str(), member)).collect();
    let mut broken = Vec::new();
    for member in crates {
        let Crate { name, folder, inherits_lints, .. } = member;
        if rank(folder).is_none() {
            broken.push(format!("{name}: the folder crates/{folder} is no layer"));
            continue;
        }
        if !inherits_lints {
            broken.push(format!("{name}: the manifest lacks `[lints] workspace = true`"));
        }
        for dep in &member.deps {
            if let Some(to) = by_name.get(dep.name.as_str()) {
                broken.extend(arrow(member, to, dep.is_dev));
            }
        }
        broken.extend(company(member, &by_name));
        if folder == "core" {
            broken.extend(core_bans(member));
        }
    }
    broken
}

/// Why the arrow is not allowed, if it is not.
fn arrow(from: &Crate, to: &Crate, is_dev: bool) -> Option<String> {
    let (from_name, to_name) = (&from.name, &to.name);
    if to.folder == "dev" && from.folder != "dev" {
        return (!is_dev).then(|| {
            format!("{from_name} -> {to_name}: a dev crate may only be a dev-dependency")
        });
    }
    let (upper, lower) = (rank(&from.folder)?, rank(&to.folder)?);
    if upper > lower {
        return None;
    }
    if upper < lower {
        let (from, to) = (&from.folder, &to.folder);
        return Some(format!("{from_name} -> {to_name}: an arrow from {from} up to {to}"));
    }
    if from.folder != to.folder {
        // Only their tests may put a proxy before a control plane.
        if is_dev {
            return None;
        }
        let (from, to) = (&from.folder, &to.folder);
        return Some(format!("{from_name} -> {to_name}: an arrow across from {from} to {to}"));
    }
    // Tests of one crate may use a neighbour as an example.
    let is_allowed = is_dev || inside(&from.folder, &from.role).contains(&to.role.as_str());
    (!is_allowed)
        .then(|| format!("{from_name} -> {to_name}: crates/{} has no such arrow", from.folder))
}

/// Crates of ours that a crate which stands alone knows all the same.
fn company(member: &Crate, ours: &BTreeMap<&str, &Crate>) -> Vec<String> {
    let Crate { name, folder, role, .. } = member;
    let alone = ALONE.iter().find(|(in_folder, of, _)| in_folder == folder && of == role);
    let Some((_, _, allowed)) = alone else { return Vec::new() };
    let direct = member.deps.iter().map(|dep| dep.name.as_str());
    let known: BTreeSet<&str> = direct.chain(member.reached.iter().map(String::as_str)).collect();
    let others = known.iter().filter(|dep| ours.contains_key(*dep) && !allowed.contains(*dep));
    others.map(|dep| format!("{name} -> {dep}: {name} stands alone")).collect()
}

fn core_bans(member: &Crate) -> Vec<String> {
    let direct: BTreeSet<&str> = member.deps.iter().map(|dep| dep.name.as_str()).collect();
    let all = BANNED_FROM_CORE.iter().chain(BANNED_FROM_CORE_MANIFESTS);
    let found = all.filter_map(|banned| {
        if direct.contains(banned) {
            Some(format!("{}: {banned} is banned from core", member.name))
        } else if BANNED_FROM_CORE.contains(banned) && member.reached.contains(*banned) {
            Some(format!("{}: reaches {banned}, which is banned from core", member.name))
        } else {
            None
        }
    });
    found.collect()
}

fn rank(folder: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&folder))
}

fn inside(folder: &str, role: &str) -> &'static [&'static str] {
    INSIDE
        .iter()
        .find(|(in_folder, from, _)| *in_folder == folder && *from == role)
        .map_or(&[], |(_, _, to)| to)
}

fn load(metadata: &Metadata) -> anyhow::Result<Vec<Crate>> {
    metadata.members().map(|package| load_crate(metadata, package)).collect()
}

fn load_crate(metadata: &Metadata, package: &Package) -> anyhow::Result<Crate> {
    let (folder, role) = package.place().context("a manifest outside crates/")?;
    let manifest = std::fs::read_to_string(&package.manifest_path)
        .with_context(|| format!("cannot read {}", package.manifest_path.display()))?;
    let deps = package
        .dependencies
        .iter()
        .map(|dep| Dep { name: dep.name.clone(), is_dev: dep.kind.as_deref() == Some("dev") });
    Ok(Crate {
        name: package.name.clone(),
        folder: folder.to_owned(),
        role: role.to_owned(),
        deps: deps.collect(),
        reached: reach(metadata, &package.id),
        inherits_lints: inherits_lints(&manifest)?,
    })
}

fn inherits_lints(manifest: &str) -> anyhow::Result<bool> {
    let manifest: toml::Table = manifest.parse().context("the manifest is not TOML")?;
    let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    Ok(inherits.and_then(toml::Value::as_bool) == Some(true))
}

/// Names of all packages below `id` by normal dependencies.
fn reach(metadata: &Metadata, id: &str) -> BTreeSet<String> {
    let Some(resolve) = &metadata.resolve else { return BTreeSet::new() };
    let nodes: BTreeMap<&str, _> =
        resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut seen = BTreeSet::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        let Some(node) = nodes.get(id) else { continue };
        for dep in &node.deps {
            let is_used = dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
            if is_used && seen.insert(dep.pkg.as_str()) {
                open.push(&dep.pkg);
            }
        }
    }
    let name = |id: &&str| metadata.package(id).map(|package| package.name.clone());
    seen.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests;
