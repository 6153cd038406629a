//! Routes of both kinds for HTTP on one port: those for gRPC hold there, and no others (GEP-1426).

use weft_resources::Kind;

use super::Attached;
use crate::context::Output;
use crate::mesh::routing::table::{Subject, union};
use crate::remark::Place;

/// Leaves HTTPRoutes the ports that no GRPCRoute is for; says so of each that has lost some. Of the
/// groups that come back the first holds on a port for which it has a route.
pub(super) fn settle<'a>(
    subject: Subject<'_>,
    mut routes: Vec<Attached<'a>>,
    out: &mut Output,
) -> Vec<Vec<Attached<'a>>> {
    let for_grpc = |attached: &&Attached<'_>| matches!(attached.resource.body, Kind::GrpcRoute(_));
    let Some(winner) = routes.iter().find(for_grpc).map(|attached| attached.resource) else {
        return vec![routes];
    };
    let taken = union(routes.iter().filter(for_grpc).map(|attached| &*attached.ports));
    let mut has_rest = false;
    let keeps = |attached: &mut Attached<'_>| {
        if !matches!(attached.resource.body, Kind::HttpRoute(_)) {
            return true;
        }
        let wanted: Vec<u16> = match attached.ports.is_empty() {
            true => subject.http_ports().map(|port| port.number).collect(),
            false => attached.ports.clone(),
        };
        let is_free = |port: &u16| !taken.is_empty() && !taken.contains(port);
        let left: Vec<u16> = wanted.iter().copied().filter(is_free).collect();
        // A network has every port, so that those which are left cannot be listed.
        let is_rest = attached.ports.is_empty() && subject.network().is_some() && !taken.is_empty();
        has_rest |= is_rest;
        let is_whole = left.is_empty() && !is_rest;
        if left.len() < wanted.len() || left.is_empty() {
            let extent = if is_whole { "" } else { " on some of its ports" };
            let message = format!(
                "{} is for the same port, and gRPC comes before HTTP: it does not hold{extent}",
                winner.key
            );
            let place = Place::whole(attached.resource);
            place.error_with(out, message, "put both into one HTTPRoute, or use another port");
            attached.ports = left;
        }
        !is_whole
    };
    routes.retain_mut(keeps);
    if !has_rest {
        return vec![routes];
    }
    let (first, rest) = routes.into_iter().partition(|attached| for_grpc(&attached));
    vec![first, rest]
}
