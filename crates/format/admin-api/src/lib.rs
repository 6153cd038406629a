//! Types of the admin endpoint: configuration dump, proxy status, readiness.
