//! Names that stay the same from one generation to the next.
//!
//! Live state, metrics and logs are keyed by them, so an id is derived from the resource that the
//! user wrote (kind, namespace, name, position), never from a counter.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is; uniqueness is the caller's promise.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text, as shown in metrics and logs.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    )*};
}

ids! {
    /// One bound address: `web`, or `gateway/shop/public:443`.
    ListenerId;
    /// One rule of one routing resource: `ingressroute/shop/checkout/0`.
    RouteId;
    /// One destination service and port, with the settings it is called by:
    /// `shop/checkout:8080`.
    BackendId;
    /// Live state of one policy at one place: `middleware/shop/limit@ingressroute/shop/checkout/0`.
    PolicyId;
    /// A service by its full host name, lower case: `payments.shop.svc.cluster.local`, or a host
    /// outside of the cluster that a ServiceEntry names.
    ServiceName;
    /// A workload, by namespace and name: `shop/payments-7d4`.
    WorkloadName;
}
