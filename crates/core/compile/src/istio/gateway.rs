//! Istio's Gateways, and the VirtualServices that are bound to them.
//!
//! Servers of all Gateways are collected first ([`site`]). There is one gateway here, so that a
//! `selector` chooses nothing: every Gateway is served. Then VirtualServices are bound to servers by
//! the hosts that both have ([`bind`]), and their rules become routes of the model ([`emit`]).
//!
//! A request belongs to the most specific host at its address that some VirtualService has, even
//! when none of the rules for that host takes it. Rules of several VirtualServices for one host
//! stand behind each other, those of the oldest first; rules for every request come last.

mod around;
mod bind;
mod emit;
mod site;
#[cfg(test)]
mod tests;
mod tls;

use weft_resources::istio::gateway::Gateway;
use weft_resources::istio::server::ServerCertificates;

use crate::context::{Context, Output};

/// Adds all that Gateways ask for.
pub(crate) fn compile(context: &Context<'_>, out: &mut Output) {
    let sites = site::collect(context, out);
    let bound = bind::bind(context, &sites, out);
    emit::emit(context, &sites, &bound, out);
}

/// The files that a Gateway names.
pub(crate) fn referenced_files(gateway: &Gateway) -> Vec<Box<str>> {
    let sections = gateway.servers.iter().filter_map(|server| server.tls.as_ref());
    let mut files = Vec::new();
    for tls in sections {
        if let ServerCertificates::Files(pairs) = &tls.certificates {
            let both = pairs.iter().flat_map(|pair| [&pair.certificate, &pair.private_key]);
            files.extend(both.map(|file| file.value.clone()));
        }
        files.extend(tls.ca_certificates.iter().map(|file| file.value.clone()));
    }
    files
}
