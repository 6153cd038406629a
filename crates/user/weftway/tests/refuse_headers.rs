//! Header trust: what a client may not say about itself.
