//! Listeners that cannot be told apart.

use super::{Fate, Side, Site};
use crate::context::Output;
use crate::remark::Place;

/// Leaves out listeners that conflict.
///
/// Within one object all that conflict are left out, so that none wins by chance. Between a
/// Gateway and its ListenerSets, and between Gateways on one address, the earlier one stays.
/// HTTP and TLS listeners of different Gateways with the same host are served as one.
pub(super) fn settle(sites: &mut [Site<'_>], out: &mut Output) {
    let clashes: Vec<Option<String>> =
        (0..sites.len()).map(|index| clash_in_owner(sites, index)).collect();
    for (site, clash) in sites.iter_mut().zip(clashes) {
        if let Some(message) = clash {
            reject(site, message, out);
        }
    }
    for index in 0..sites.len() {
        let (before, rest) = sites.split_at_mut(index);
        let Some(site) = rest.first_mut().filter(|site| site.fate == Fate::Open) else { continue };
        let earlier = before.iter().filter(|other| {
            other.fate == Fate::Open
                && other.addr == site.addr
                && !std::ptr::eq(other.owner, site.owner)
        });
        let mut merged = false;
        let mut clash = None;
        for other in earlier {
            match between_owners(other, site) {
                Between::Apart => {}
                Between::Merged => merged = true,
                Between::Clash => {
                    clash =
                        clash.or_else(|| Some(format!("it conflicts with {}", in_words(other))));
                }
            }
        }
        if let Some(message) = clash {
            reject(site, message, out);
        } else if merged {
            let path = site.path("");
            Place::new(site.owner, site.listener.at, &path).note(
                out,
                "another Gateway has a listener for the same address and host; \
                 the routes of both are served together",
            );
        }
    }
}

fn reject(site: &mut Site<'_>, message: String, out: &mut Output) {
    let message = format!("the listener `{}` is not served: {message}", site.listener.name);
    site.error(out, site.listener.at, "", message);
    site.fate = Fate::Absent;
}

fn clash_in_owner(sites: &[Site<'_>], index: usize) -> Option<String> {
    let site = &sites[index];
    let others = sites.iter().enumerate().filter(|(position, other)| {
        *position != index
            && std::ptr::eq(other.owner, site.owner)
            && std::ptr::eq(other.gateway.0, site.gateway.0)
            && other.fate == Fate::Open
            && other.addr == site.addr
    });
    if site.fate != Fate::Open {
        return None;
    }
    others
        .map(|(_, other)| other)
        .find(|other| is_indistinct(site, other))
        .map(|other| format!("it cannot be told from the listener `{}`", other.listener.name))
}

fn is_indistinct(site: &Site<'_>, other: &Site<'_>) -> bool {
    let (side, other_side) = (site.side(), other.side());
    side == Side::Raw || other_side == Side::Raw || side == other_side && site.host == other.host
}

enum Between {
    Apart,
    Merged,
    Clash,
}

fn between_owners(earlier: &Site<'_>, site: &Site<'_>) -> Between {
    if !is_indistinct(earlier, site) {
        return Between::Apart;
    }
    let same_kind = earlier.side() != Side::Raw
        && earlier.listener.protocol.value == site.listener.protocol.value
        && earlier.is_passthrough() == site.is_passthrough();
    let same_gateway = std::ptr::eq(earlier.gateway.0, site.gateway.0);
    if same_kind && !same_gateway { Between::Merged } else { Between::Clash }
}

fn in_words(site: &Site<'_>) -> String {
    format!("the listener `{}` of {}", site.listener.name, site.owner.key)
}
