//! Metrics, access log, health endpoints and the config dump, as an operator reads them.
