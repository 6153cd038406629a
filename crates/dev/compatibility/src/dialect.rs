//! The dialects, in the order of the page.

/// A part of the page.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Its heading.
    pub name: &'static str,
    /// What is to say besides the fields, as Markdown; perhaps empty.
    pub prose: &'static str,
    /// The rows, as TOML.
    pub fields: &'static str,
    /// The file of the rows, for messages.
    pub file: &'static str,
}

macro_rules! dialect {
    ($name:literal, $file:literal) => {
        Dialect {
            name: $name,
            prose: include_str!(concat!("../pages/", $file, ".md")),
            fields: include_str!(concat!("../fields/", $file, ".toml")),
            file: concat!("crates/dev/compatibility/fields/", $file, ".toml"),
        }
    };
}

/// What stands before the first dialect.
pub const PREFACE: &str = include_str!("../pages/preface.md");

/// All dialects.
pub const ALL: &[Dialect] = &[
    dialect!("Gateway API", "gateway-api"),
    dialect!("Istio", "istio"),
    dialect!("Linkerd", "linkerd"),
    dialect!("SMI", "smi"),
    dialect!("weftway.io", "weftway"),
    dialect!("Kubernetes", "kubernetes"),
    dialect!("Traefik", "traefik"),
];
