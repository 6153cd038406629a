//! A world in which the samples have an effect.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine as _;
use weft_compile::{EntryPoint, MeshOptions, Options, PemPair};
use weft_model::identity::TrustDomain;
use weft_model::mesh::{Phase, Registered, RegisteredPort, RegisteredWorkload};
use weft_resources::{Problem, ResourceSet, load};

/// Documents that stand beside every sample.
const DOCUMENTS: &str = include_str!("scene.yaml");

/// Files that samples name.
const FILES: &[(&str, Part)] = &[
    ("/certs/client.pem", Part::Chain),
    ("/certs/client.key", Part::Key),
    ("/certs/server.pem", Part::Chain),
    ("/certs/server.key", Part::Key),
    ("/certs/ca.pem", Part::Chain),
    ("/certs/crl.pem", Part::Other("")),
    ("/etc/ca.pem", Part::Chain),
    ("/etc/clients.pem", Part::Chain),
    ("/etc/client.pem", Part::Chain),
    ("/etc/client.key", Part::Key),
    ("/etc/more.pem", Part::Chain),
    ("/etc/more.key", Part::Key),
    ("/etc/shop.pem", Part::Chain),
    ("/etc/shop.key", Part::Key),
    ("/etc/users", Part::Other("bob:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n")),
];

/// Secrets and ConfigMaps with certificates: namespace, kind, name.
const HOLDERS: &[(&str, &str, &str)] = &[
    ("shop", "Secret", "shop-tls"),
    ("shop", "Secret", "shop-ecdsa"),
    ("shop", "Secret", "shop-rsa"),
    ("shop", "Secret", "shop-ca"),
    ("shop", "Secret", "more-tls"),
    ("shop", "Secret", "client"),
    ("shop", "Secret", "clients"),
    ("shop", "Secret", "authorities"),
    ("shop", "ConfigMap", "authorities"),
    ("front", "Secret", "shop-tls"),
    ("front", "Secret", "shop-ecdsa"),
    ("front", "Secret", "shop-rsa"),
    ("front", "Secret", "shop-ca"),
    // Where Secrets of the file provider are.
    ("default", "Secret", "authorities"),
    ("default", "ConfigMap", "authorities"),
    ("default", "Secret", "client"),
    ("default", "Secret", "shop-tls"),
    ("default", "Secret", "more-tls"),
    ("certificates", "Secret", "shop-tls"),
    ("certificates", "Secret", "client"),
    ("certificates", "ConfigMap", "clients"),
];

enum Part {
    Chain,
    Key,
    Other(&'static str),
}

/// Everything that compilation is told besides the sample.
pub(crate) struct Scene {
    documents: ResourceSet,
    /// What stands for `@chain@` and the like in arrangements.
    words: Vec<(&'static str, String)>,
    pub(crate) options: Options,
    pub(crate) mesh_options: MeshOptions,
    pub(crate) registered: Registered,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let (chain, key) = certificate();
        let mut text = DOCUMENTS.to_owned();
        for (namespace, kind, name) in HOLDERS {
            let (chain, key) = certificate();
            text.push_str(&holder(namespace, kind, name, &chain, &key));
        }
        let documents = load(&[("scene.yaml", text)]);
        let errors: Vec<_> = documents.problems().into_iter().filter(Problem::is_error).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let mut options = Options::new(vec![
            entry_point("web", 8000, false),
            entry_point("websecure", 8001, true),
            entry_point("db", 8002, false),
        ]);
        // The Gateway of the scene is elsewhere than that of the samples.
        options.gateway_addresses.insert("front/public".into(), IpAddr::from([127, 0, 0, 2]));
        options.allow_external_name_services = true;
        options.allow_cross_namespace = true;
        let pair = PemPair {
            origin: "own".into(),
            chain: chain.as_bytes().into(),
            key: key.as_bytes().into(),
        };
        options.self_signed = Some(pair);
        for (path, part) in FILES {
            let content = match part {
                Part::Chain => &chain,
                Part::Key => &key,
                Part::Other(text) => *text,
            };
            options.files.insert((*path).into(), Arc::from(content.as_bytes()));
        }
        let registered = [
            workload("shop", "web-1", 1, &[("app", "web"), ("version", "v1"), ("tier", "front")]),
            workload("shop", "web-2", 2, &[("app", "web"), ("version", "v2"), ("tier", "front")]),
            workload("shop", "api-1", 3, &[("app", "api")]),
            workload("front", "checkout-1", 4, &[("app", "checkout")]),
        ];
        Self {
            documents,
            words: vec![
                ("@chain@", chain.replace('\n', "\\n")),
                ("@key@", key.replace('\n', "\\n")),
                ("@chain64@", base64(&chain)),
                ("@key64@", base64(&key)),
            ],
            options,
            mesh_options: MeshOptions::new(TrustDomain::default()),
            registered: registered.into_iter().collect(),
        }
    }

    /// An arrangement's text with certificates in it.
    pub(crate) fn written(&self, text: &str) -> String {
        let replaced = |text: String, (word, value): &(&str, String)| text.replace(word, value);
        self.words.iter().fold(text.to_owned(), replaced)
    }

    /// The scene's documents, and in the place of those of their names, others.
    pub(crate) fn with(&self, others: &ResourceSet) -> ResourceSet {
        self.documents.overlaid(others, |_| false)
    }
}

fn entry_point(name: &str, port: u16, tls: bool) -> EntryPoint {
    EntryPoint { name: name.into(), addr: SocketAddr::from(([127, 0, 0, 1], port)), tls }
}

fn certificate() -> (String, String) {
    let names = ["shop.example.com".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// RFC 4648, section 4.
fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn holder(namespace: &str, kind: &str, name: &str, chain: &str, key: &str) -> String {
    let indented = |pem: &str| pem.trim_end().replace('\n', "\n    ");
    let (chain, key) = (indented(chain), indented(key));
    let (field, key) = match kind {
        "Secret" => ("stringData", format!("  tls.key: |\n    {key}\n")),
        _ => ("data", String::new()),
    };
    format!(
        "---
apiVersion: v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
{field}:
  tls.crt: |
    {chain}
  tls.ca: |
    {chain}
  ca.crt: |
    {chain}
  cacert: |
    {chain}
{key}"
    )
}

fn workload(namespace: &str, name: &str, last: u8, labels: &[(&str, &str)]) -> RegisteredWorkload {
    let ip = IpAddr::from([10, 77, 0, last]);
    let labels: BTreeMap<Box<str>, Box<str>> =
        labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let service = name.split_once('-').map_or(name, |(service, _)| service);
    let ports = [(8080, "http"), (8443, "https"), (5432, "tcp")];
    let ports = ports.map(|(number, name)| RegisteredPort {
        number,
        name: name.into(),
        app_protocol: None,
    });
    RegisteredWorkload {
        namespace: namespace.into(),
        name: name.into(),
        service: service.into(),
        labels,
        service_account: service.into(),
        addrs: [ip].into(),
        ports: ports.into(),
        proxy: Some(SocketAddr::new(ip, 15008)),
        zone: Some("west-1".into()),
        phase: Phase::Ready,
    }
}
