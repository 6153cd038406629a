//! Traffic policy as the users of each dialect write it, on real processes.
//!
//! One mesh for all: two versions of an application, `web-1` and `web-2`; the same one near to the
//! caller and far away, `near` and `far`; and the caller, `shop`. Each test calls Services of its
//! own, so that no test sees what another one did to an instance.

mod examples;
mod gateway_api;
mod istio;
mod istio_calling;
mod linkerd;
mod outside;
mod seeds;
mod smi;
mod weftway;

use std::sync::Mutex;

use serde_json::Value;
use weft_testkit::wait;

use crate::echo::{App, Call, Load};
use crate::mesh::Mesh;
use crate::shared::{Borrowed, Shared};

const SHOP: &str = "shop";

const WEB_1: &str = "web-1";

const WEB_2: &str = "web-2";

static MESH: Shared = Shared::new(|| {
    let place = |name, labels| App::new(name).labels(labels);
    let apps = [
        place(WEB_1, &["app=web", "version=v1"]),
        place(WEB_2, &["app=web", "version=v2"]),
        place("near", &["app=place", "topology.kubernetes.io/region=eu"]),
        place("far", &["app=place", "topology.kubernetes.io/region=us"]),
        place(SHOP, &["app=shop", "topology.kubernetes.io/region=eu"]).account("shop"),
    ];
    Mutex::new(Mesh::of("", &apps))
});

/// The mesh with these documents. All applications behave well, and have seen nothing.
fn mesh(documents: &[&str]) -> Borrowed {
    let mesh = MESH.with(&documents.concat());
    for app in [WEB_1, WEB_2, "near", "far"] {
        mesh.tell(app, "");
        mesh.forget(app);
    }
    mesh
}

/// A Service of workloads with that label, with more of its metadata.
fn service_with(name: &str, app: &str, metadata: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: \
         default{metadata}}}\nspec:\n  selector: {{{app}}}\n  ports:\n  - {{name: http, port: 80, \
         targetPort: 8080}}\n  - {{name: grpc, port: 7070}}\n  - {{name: tcp-name, port: 9090}}\n"
    )
}

/// A Service of both versions.
fn service(name: &str) -> String {
    service_with(name, "app: web", "")
}

/// A document of a dialect about that name, with its `spec` indented by two.
fn document(version: &str, kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: \
         default}}\nspec:\n{spec}"
    )
}

/// What stands in the requests that an application got, one for each.
fn heard(mesh: &Mesh, app: &str, what: impl Fn(&Value) -> Value) -> Vec<Value> {
    mesh.heard(app)["kept"].as_array().unwrap().iter().map(what).collect()
}

/// Who greets on a connection from the shop.
fn greeting(mesh: &Mesh, host: &str) -> String {
    let said = mesh.client(SHOP, &["greeting", host, "9090"]);
    said["first"].as_str().unwrap().to_owned()
}

/// A call that fails that often, under another key than all others.
fn failing(call: Call, times: u32, how: &str) -> Call {
    let key = format!("{call:?} {times} {how}");
    call.header("key", &key).which(&format!("first={times} {how}"))
}

/// Makes calls until so much is known of them that second tries are sent. Nothing is seen then.
fn until_hedged(mesh: &Mesh, call: &Call) {
    const CALLS: usize = 6;
    mesh.calls(SHOP, &Load::times(call, 150));
    mesh.tell(WEB_1, "delay=700");
    wait::until_true("second tries", || {
        [WEB_1, WEB_2].iter().for_each(|app| mesh.forget(app));
        mesh.calls(SHOP, &Load::times(call, CALLS));
        mesh.seen(WEB_1) + mesh.seen(WEB_2) > CALLS as u64
    });
    mesh.tell(WEB_1, "");
    [WEB_1, WEB_2].iter().for_each(|app| mesh.forget(app));
}
