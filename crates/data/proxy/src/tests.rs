//! The request path in one process: a worker, clients and origins on one thread, over loopback.

mod authorizers;
mod bodies;
mod bounds;
mod change;
mod chaos;
mod choices;
mod clients;
mod connections;
mod deadlines;
mod early;
mod fallbacks;
mod faults;
mod harness;
mod hedging;
mod idle_race;
mod keys;
mod limits;
mod matrix;
mod mesh;
mod mirrors;
mod retries;
mod retry_policies;
mod samples;
mod sizes;
