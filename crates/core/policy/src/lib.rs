//! Request and response steps, evaluated purely: a head in, edits, a refusal or a question out.
//!
//! A step never holds a client, a clock or live state. The request path walks the steps of a route
//! in order, and those of the response in reverse. [`step::class`] says who carries a step out:
//! pure ones are [`step::on_request`] and [`step::on_response`]; for the others the modules here
//! hold every decision, and the path does what waits, counts or calls.
//!
//! | Step | decides here |
//! | --- | --- |
//! | paths, headers, redirects, CORS, allow lists, fixed answers | [`step`] |
//! | `RateLimit`, `LocalRateLimit`, `InFlight` | [`source`], [`answer::limited`] |
//! | `BasicAuth` | [`basic`] |
//! | `ForwardAuth` | [`forward_auth`] |
//! | `Retry` | [`retry`] |
//! | deadlines in requests | [`deadline`] |
//! | `Buffering` | [`buffering`] |
//! | `Errors` | [`errors`] |
//! | `Compress` | [`compress`] |
//! | sticky cookies | [`sticky`] |
//! | errors of our own | [`answer`] |
//!
//! Nothing allocates where a pure step lets a request pass, once the reused heads and the scratch
//! space are warm; replacing by a regular expression, and answers, do.

pub mod answer;
pub mod basic;
pub mod buffering;
pub mod compress;
pub mod deadline;
pub mod errors;
pub mod expand;
pub mod fields;
pub mod forward_auth;
pub mod retry;
pub mod source;
pub mod step;
pub mod sticky;

mod cors;
mod media;
mod path;
mod redirect;
mod secure;
#[cfg(test)]
mod testing;
