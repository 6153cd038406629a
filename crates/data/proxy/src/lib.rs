//! The request path: one straight line from accept to record.
//!
//! The phases, in order, and where they are: accept and detect and handshake (`accept`), decode
//! (`serve_h1`, `serve_h2`), plan and route (`request`), authorize and shape and admit
//! (`steps`), pick and send and judge (`attempt`), shape back and stream (`respond`,
//! `stream`), record (`record`). docs/life-of-a-request.md tells the story with the same words.
//!
//! In the mesh a connection may come another way: the kernel brings it (`captured`), or it is inside
//! of one that a peer or an application has made (`front`); and both sides are listened to for what
//! it speaks (`detect`). From there on the line is the same.
//!
//! Everything here belongs to one worker and is `!Send`. What several workers share comes in a
//! [`plan::SharedPlan`], made on the control thread; a worker puts it in force by swapping one
//! pointer, and a request sees the generation it began with until its end.

mod accept;
pub mod access_log;
mod attempt;
mod body;
mod body_steps;
mod captured;
mod compare;
mod connection;
mod date;
mod deadline;
mod detect;
mod exchange;
mod fallback;
mod front;
pub mod interception;
mod learned;
pub mod live;
pub mod metrics;
mod passed;
mod plain;
pub mod plan;
mod record;
mod request;
mod respond;
mod runtime;
pub mod sample;
mod select;
mod serve_h1;
mod serve_h2;
mod serve_tcp;
mod spent;
pub mod spool;
mod steps;
mod stream;
mod subrequest;
mod tcp_record;
#[cfg(test)]
mod tests;
mod upgrade;
pub mod worker;
