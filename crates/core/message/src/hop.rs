//! Fields that mean one hop only (RFC 9110 section 7.6.1).

use smallvec::SmallVec;

use crate::bytes::{eq_lower_case, list_elements};
use crate::fields::Fields;
use crate::known::Known;

/// The value of an `Upgrade` field, such as `websocket`.
pub type UpgradeToken = SmallVec<[u8; 24]>;

/// What [`Fields::strip_hop_by_hop`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HopByHop {
    /// The protocols asked for by `Upgrade`, when `Connection` names it too.
    pub upgrade: Option<UpgradeToken>,
    /// The sender takes trailers (`TE: trailers`).
    pub te_trailers: bool,
}

/// The fields that never travel further, and those the codec writes itself, have the lowest ids;
/// `Trailer` alone among them is for the recipient of the message.
const LAST_HOP: u8 = Known::Http2Settings as u8;

// === impl Fields ===

impl Fields {
    /// Removes the fields that belong to the hop they came by: those named by `Connection`, and
    /// `Connection`, `Keep-Alive`, `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade`,
    /// `HTTP2-Settings`; also `Content-Length` and `Host`, which the codec writes by itself.
    ///
    /// Call it right after parsing: what the gateway adds afterwards cannot be removed by a peer
    /// that names it in `Connection`.
    pub fn strip_hop_by_hop(&mut self) -> HopByHop {
        let mut found = HopByHop::default();
        let mut options = Options::default();
        let mut any = false;
        for entry in self.entries().iter().filter(|entry| entry.id <= LAST_HOP) {
            any = true;
            if entry.id == Known::Connection as u8 {
                options.read(self.value(entry));
            } else if entry.id == Known::Te as u8 {
                found.te_trailers |= list_elements(self.value(entry))
                    .any(|element| element.eq_ignore_ascii_case(b"trailers"));
            }
        }
        if !any {
            return found;
        }
        if options.upgrade {
            found.upgrade = self.get(Known::Upgrade).map(SmallVec::from_slice);
        }
        if options.names_fields {
            self.remove_named();
        }
        self.retain_ids(|id| id > LAST_HOP || id == Known::Trailer as u8);
        found
    }

    /// Removes the fields that `Connection` names. Rare, so the list is read once a field.
    #[cold]
    fn remove_named(&mut self) {
        let doomed: SmallVec<[bool; 64]> = self
            .entries()
            .iter()
            .map(|entry| {
                let name = self.name(entry);
                self.get_all(Known::Connection)
                    .flat_map(list_elements)
                    .any(|option| option.len() == name.len() && option.eq_ignore_ascii_case(name))
            })
            .collect();
        let mut doomed = doomed.into_iter();
        self.retain_ids(|_| !doomed.next().unwrap_or(false));
    }
}

/// What the `Connection` fields of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    /// Other fields are named.
    pub(crate) names_fields: bool,
    /// How many options there are.
    pub(crate) count: u32,
}

// === impl Options ===

impl Options {
    /// Takes one `Connection` value in.
    #[inline]
    pub(crate) fn read(&mut self, value: &[u8]) {
        if eq_lower_case(value, b"keep-alive") {
            // What nearly everybody sends.
            self.keep_alive = true;
            self.count = self.count.saturating_add(1);
        } else {
            self.read_list(value);
        }
    }

    fn read_list(&mut self, value: &[u8]) {
        for option in list_elements(value) {
            self.count = self.count.saturating_add(1);
            if eq_lower_case(option, b"close") {
                self.close = true;
            } else if eq_lower_case(option, b"keep-alive") {
                self.keep_alive = true;
            } else if eq_lower_case(option, b"upgrade") {
                self.upgrade = true;
            } else if !eq_lower_case(option, b"te") {
                self.names_fields = true;
            }
        }
    }
}
