//! From the whole set of resources to immutable snapshots, with a verdict per resource and per
//! field.
//!
//! [`compile`] is a pure function of resources, [`Options`] and the [`World`] before. Unchanged parts
//! keep their `Arc` from that world, so the data plane tells by pointer what it may keep. A bad
//! resource rejects only itself: the form of it that was last in force stays in force.
//!
//! Each dialect is a module that reads from a `Context` and adds to an `Output`.

mod age;
mod calling;
mod certificates;
mod context;
mod dialect;
mod drafts;
mod expression;
mod gateway_api;
mod in_step;
mod ingress;
mod istio;
mod listeners;
mod literal;
mod mesh;
mod options;
mod remark;
mod report;
mod rule_name;
mod services;
mod shadow;
mod suggest;
mod traefik;
mod world;

pub use mesh::{
    Assigned, InvalidAssigned, MeshOptions, MeshWorld, ServiceRange, compile_mesh,
    written_trust_domain,
};
pub use options::{EntryPoint, Options, PemPair};
pub use report::{Report, ResourceReport, Verdict, render};
pub use world::{World, compile, compile_in_mesh, referenced_files};
