//! Upstream pools, retries, failover, balancing, health: what clients see when upstreams misbehave.
