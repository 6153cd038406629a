//! Istio: what gateways and sidecars alike make of its documents.

pub(crate) mod export;
pub(crate) mod gateway;
pub(crate) mod virtual_service;
