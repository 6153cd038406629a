//! The request path in one process: a worker, clients and origins on one thread, over loopback.

mod bodies;
mod bounds;
mod change;
mod early;
mod harness;
mod limits;
mod matrix;
mod mesh;
mod retries;
mod sizes;
