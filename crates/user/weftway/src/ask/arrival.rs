//! What becomes of a request where it arrives: beside the endpoints that it may be sent to.

use std::path::Path;

use weft_admin_api::base::WorkloadView;
use weft_admin_api::{BaseView, ExplanationView};

use super::door::{self, Door};
use super::escaped;
use crate::offline;
use crate::status::StatusClient;

/// Asks the proxies of endpoints that run on this machine what they would do with the request that
/// `path` asks about. Nothing is known of the others.
pub(super) async fn look(view: &mut ExplanationView, state: &Path, from: &str, path: &str) {
    let Ok(base) = StatusClient::new(Some(state)).show::<BaseView>("/base").await else { return };
    let doors = door::proxies(state).await;
    let name = offline::name(from);
    let peer = base.workloads.iter().find(|one| whole(one) == name).map(|one| {
        let BaseView { trust_domain, .. } = &base;
        format!("spiffe://{trust_domain}/ns/{}/sa/{}", one.namespace, one.service_account)
    });
    for lead in &mut view.leads {
        for endpoint in &mut lead.endpoints {
            let Some(door) = beside(&base, &doors, endpoint.addr.ip()) else { continue };
            let peer = peer.as_ref().filter(|_| endpoint.identity.is_some());
            let peer = peer.map(|peer| format!("&peer={}", escaped(peer))).unwrap_or_default();
            let path = format!("{path}&arrives={}{peer}", escaped(&endpoint.addr.to_string()));
            let Ok(there) = door.get::<ExplanationView>(&path).await else { continue };
            endpoint.refuses = there.refused;
            let said = there.policies.into_iter();
            let written = said.filter(|policy| policy.source != weft_explain::words::DEFAULT);
            if lead.arrival.is_empty() {
                lead.arrival = written.collect();
            }
        }
    }
}

/// The proxy of the workload that has an address.
fn beside<'d>(base: &BaseView, doors: &'d [Door], ip: std::net::IpAddr) -> Option<&'d Door> {
    let workload = base.workloads.iter().find(|one| one.addrs.contains(&ip))?;
    let name = whole(workload);
    doors.iter().find(|door| door.by == name)
}

/// A workload as its proxy is called.
fn whole(workload: &WorkloadView) -> String {
    offline::name(&format!("{}/{}", workload.namespace, workload.name)).to_owned()
}
