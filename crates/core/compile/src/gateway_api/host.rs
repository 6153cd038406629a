//! Host names of listeners and routes, and what they have in common.

use weft_model::route::HostMatch;

/// A host name as Gateway API writes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    /// Every host.
    Any,
    /// One host.
    Exact(Box<str>),
    /// One or more labels in front of this, which stands without star and dot.
    Wildcard(Box<str>),
}

// === impl Host ===

impl Host {
    /// From text: `*.example`, `a.example`, or nothing.
    pub(crate) fn new(text: Option<&str>) -> Self {
        match text {
            None | Some("") => Self::Any,
            Some(text) => match text.strip_prefix("*.") {
                Some(suffix) => Self::Wildcard(suffix.into()),
                None => Self::Exact(text.into()),
            },
        }
    }

    /// Among names that a host fits, the one with the largest number here is the most specific.
    pub(crate) fn specificity(&self) -> u16 {
        match self {
            Self::Any => 0,
            // The dot in front of the suffix counts, so that it is never shorter than the suffix
            // of another wildcard and always shorter than a host that fits.
            Self::Wildcard(suffix) => suffix.len() as u16 + 1,
            Self::Exact(host) => host.len() as u16 + 1,
        }
    }

    /// The hosts that fit both.
    pub(crate) fn intersection(&self, other: &Self) -> Option<Self> {
        if self.contains(other) {
            return Some(other.clone());
        }
        other.contains(self).then(|| self.clone())
    }

    /// Whether every host that fits `other` fits this.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) => false,
            (Self::Exact(own), Self::Exact(other)) => own == other,
            (Self::Exact(_), Self::Wildcard(_)) => false,
            (Self::Wildcard(own), Self::Exact(other)) => is_below(other, own),
            (Self::Wildcard(own), Self::Wildcard(other)) => own == other || is_below(other, own),
        }
    }

    /// The condition.
    pub(crate) fn to_match(&self) -> HostMatch {
        match self {
            Self::Any => HostMatch::Any,
            Self::Exact(host) => HostMatch::Exact(host.clone()),
            Self::Wildcard(suffix) => HostMatch::AnyLabels(suffix.clone()),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// Whether `host` is `suffix` with at least one label in front.
fn is_below(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix)
        .and_then(|front| front.strip_suffix('.'))
        .is_some_and(|front| !front.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop_assert_eq, prop_oneof, proptest};

    use super::Host;

    /// Names of one to four labels out of two, so that they often have something in common.
    fn name() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof!["a", "b"], 1..5).prop_map(|labels| labels.join("."))
    }

    fn host() -> impl Strategy<Value = Host> {
        let text = prop_oneof![name(), name().prop_map(|name| format!("*.{name}"))];
        proptest::option::of(text).prop_map(|text| Host::new(text.as_deref()))
    }

    proptest! {
        #[test]
        fn an_intersection_holds_what_both_hold(a in host(), b in host(), name in name()) {
            let name = Host::Exact(name.into());
            let both = a.intersection(&b).is_some_and(|both| both.contains(&name));
            prop_assert_eq!(both, a.contains(&name) && b.contains(&name));
        }

        #[test]
        fn hosts_that_hold_one_name_differ_in_specificity(
            a in host(), b in host(), name in name()
        ) {
            let name = Host::Exact(name.into());
            if a.contains(&name) && b.contains(&name) {
                prop_assert_eq!(a == b, a.specificity() == b.specificity());
            }
        }
    }

    #[test]
    fn intersections() {
        let check = |a: &str, b: &str, expected: Option<&str>| {
            let (a, b) = (Host::new(Some(a)), Host::new(Some(b)));
            let expected = expected.map(|text| Host::new(Some(text)));
            assert_eq!(a.intersection(&b), expected, "{a} and {b}");
            assert_eq!(b.intersection(&a), expected, "{b} and {a}");
        };
        check("", "", Some(""));
        check("", "*.a.example", Some("*.a.example"));
        check("a.example", "a.example", Some("a.example"));
        check("a.example", "b.example", None);
        check("*.example.com", "test.example.com", Some("test.example.com"));
        check("*.example.com", "foo.test.example.com", Some("foo.test.example.com"));
        check("*.example.com", "example.com", None);
        check("*.example.com", "test.example.net", None);
        check("*.example.com", "badexample.com", None);
        check("*.example.com", "*.example.com", Some("*.example.com"));
        check("*.example.com", "*.foo.example.com", Some("*.foo.example.com"));
        check("*.example.com", "*.com", Some("*.example.com"));
        check("*.example.com", "*.example.net", None);
    }

    #[test]
    fn the_more_specific_has_the_larger_number() {
        let order = ["", "*.example.com", "*.foo.example.com", "a.foo.example.com"];
        let numbers = order.map(|text| Host::new(Some(text)).specificity());
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let wildcard = Host::new(Some("*.example.com")).specificity();
        assert!(Host::new(Some("a.example.com")).specificity() > wildcard);
    }
}
