//! One canonical path and host for routing, policy and upstream; ambiguous targets are refused.
