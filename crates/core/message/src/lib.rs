//! HTTP messages as values: heads, the canonical request, and the HTTP/1.1 codec without I/O.
//!
//! A head is one byte arena with a compact table of fields; well-known names are small ids. A
//! request has one canonical view (method, authority, path, query), computed once when it is
//! parsed and used by routing, policies, logs and the upstream alike. What has more than one
//! reading is refused, never repaired.
//!
//! Nothing here reads a socket or a clock. Nothing allocates when heads and buffers are reused.

pub mod cookie;
pub mod forwarded;
pub mod grpc;
pub mod h1;
pub mod h2;
pub mod hpack;
pub mod peer;
pub mod secret;

mod authority;
mod bytes;
mod error;
mod fields;
mod hop;
mod known;
mod method;
mod name;
mod path;
mod query;
mod request;
mod response;
mod version;

pub use authority::InvalidHost;
pub use error::{ErrorClass, ParseError};
pub use fields::{Fields, InvalidFieldValue, Iter, Values};
pub use h1::{HeadLimits, is_trailer_allowed};
pub use hop::{HopByHop, UpgradeToken};
pub use known::Known;
pub use method::{InvalidMethod, Method};
pub use name::{AsFieldName, FieldName, InvalidFieldName};
pub use path::{InvalidTarget, PathRules, canonical_path};
pub use query::QueryValues;
pub use request::RequestHead;
pub use response::{ResponseHead, reason_phrase};
pub use version::{Scheme, Version};
