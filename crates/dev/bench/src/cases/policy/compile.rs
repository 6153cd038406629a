//! What rules cost the control plane: a whole mesh at once, and one change of it.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::bail;
use weft_compile::{MeshOptions, MeshWorld, compile_mesh};
use weft_model::identity::TrustDomain;
use weft_model::mesh::Registered;
use weft_resources::load_incremental;
use weft_resources::set::{Change, ResourceSet};

use crate::cases::Bench;
use crate::report::{Finding, Section};
use crate::stats::{median, median_interval};

const SERVICES: usize = 1_000;
const RULES_EACH: usize = 5;

pub(super) fn fresh(bench: &Bench) -> anyhow::Result<Section> {
    let (set, _) = load()?;
    let tries = if bench.is_quick { 3 } else { 21 };
    let mut millis = Vec::with_capacity(tries);
    for _ in 0..tries {
        let start = Instant::now();
        let world = compile(&set, None);
        millis.push(start.elapsed().as_secs_f64() * 1e3);
        check(&world)?;
    }
    let value = median(&millis);
    Ok(Section {
        title: "A mesh of 1,000 services with 5,000 rules, compiled afresh".to_owned(),
        body: format!("Median of {tries}: {value:.1} ms; the documents were read before.\n"),
        findings: vec![Finding {
            case: "compile",
            measure: "1,000 services, 5,000 rules".to_owned(),
            value,
            interval: median_interval(&millis),
            unit: "ms",
        }],
    })
}

pub(super) fn changed(bench: &Bench) -> anyhow::Result<Section> {
    let (mut set, texts) = load()?;
    let mut world = compile(&set, None);
    let tries = if bench.is_quick { 3 } else { 51 };
    let mut millis = Vec::with_capacity(tries);
    for turn in 0..tries {
        let service = turn * 7 % SERVICES;
        let text = texts[service].1.replace("timeout: 5s", &format!("timeout: {}s", turn % 7 + 6));
        let path = texts[service].0.clone();
        let start = Instant::now();
        set = load_incremental(&set, &[(path.as_str(), Some(text.as_str()))]);
        let next = compile(&set, Some(&world));
        millis.push(start.elapsed().as_secs_f64() * 1e3);
        if next.mesh.services == world.mesh.services {
            bail!("the change has changed nothing");
        }
        world = next;
    }
    let value = median(&millis);
    Ok(Section {
        title: "One of 5,000 rules changed: from its text to the new snapshot".to_owned(),
        body: format!("Median of {tries} changes: {value:.1} ms.\n"),
        findings: vec![Finding {
            case: "change-rule",
            measure: "one of 5,000 rules".to_owned(),
            value,
            interval: median_interval(&millis),
            unit: "ms",
        }],
    })
}

fn compile(set: &ResourceSet, before: Option<&MeshWorld>) -> MeshWorld {
    let options = MeshOptions::new(TrustDomain::default());
    compile_mesh(set, &Registered::default(), &options, before)
}

fn check(world: &MeshWorld) -> anyhow::Result<()> {
    let rules = world.mesh.services.values().flat_map(|service| &service.traffic.routing);
    let rules: usize = rules.filter_map(|set| set.http.as_ref()).map(|http| http.len()).sum();
    if world.mesh.services.len() < SERVICES || rules < SERVICES * RULES_EACH {
        bail!("{} services with {rules} rules came out", world.mesh.services.len());
    }
    Ok(())
}

/// The documents read, and their texts by file.
fn load() -> anyhow::Result<(ResourceSet, Vec<(String, String)>)> {
    let texts: Vec<(String, String)> = (0..SERVICES).map(documents).collect();
    let changes: Vec<Change<'_>> =
        texts.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    let set = load_incremental(&ResourceSet::default(), &changes);
    if let Some(problem) = set.problems().first() {
        bail!("{problem}");
    }
    Ok((set, texts))
}

/// A Service, its endpoints, a DestinationRule and a VirtualService.
fn documents(number: usize) -> (String, String) {
    let (high, low) = (number / 250, number % 250 + 1);
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{number}, namespace: shop}}\n\
         spec: {{selector: {{app: s{number}}}, ports: [{{port: 80, name: http, \
         targetPort: 8080}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: s{number}, namespace: shop, \
         labels: {{kubernetes.io/service-name: s{number}}}}}\naddressType: IPv4\n\
         ports: [{{name: http, port: 8080}}]\n\
         endpoints: [{{addresses: [10.10.{high}.{low}], conditions: {{ready: true}}}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: s{number}, namespace: shop}}\n\
         spec:\n  host: s{number}\n  trafficPolicy:\n    \
         outlierDetection: {{consecutive5xxErrors: 5}}\n  \
         subsets: [{{name: v1, labels: {{version: v1}}}}, \
         {{name: v2, labels: {{version: v2}}}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: s{number}, namespace: shop}}\nspec:\n  hosts: [s{number}]\n  http:\n",
    );
    for rule in 0..RULES_EACH {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "  - match: [{{uri: {{prefix: /v{rule}/}}, headers: {{x-user: {{exact: '{rule}'}}}}}}]\n    \
             timeout: 5s\n    retries: {{attempts: 3, perTryTimeout: 2s, retryOn: 5xx}}\n    \
             route:\n    - {{destination: {{host: s{number}, subset: v1}}, weight: 90}}\n    \
             - {{destination: {{host: s{number}, subset: v2}}, weight: 10}}\n",
        );
    }
    (format!("s{number:04}.yaml"), text)
}
