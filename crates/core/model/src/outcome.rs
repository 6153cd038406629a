//! How a request ended, in a closed list.
//!
//! The one enum [`Reason`] sets the status a client sees, the label of metrics and the field of
//! the access log; there is no other list of failures.

/// Whose fault an answer of ours was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nobody's: the answer is what was asked for.
    None,
    /// The client's.
    Downstream,
    /// The upstream's.
    Upstream,
    /// Ours, or our configuration's.
    Gateway,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $status:literal, $fault:ident, $text:literal;)*) => {
        /// Why a request ended as it did.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason, in order; `reason as usize` is its index.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Label of metrics and logs: lower case, underscores.
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// The status sent when we answer for this reason. Meaningless (0) for
            /// [`Reason::Upstream`], which keeps the upstream's.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Whose fault it was.
            pub fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* }
            }

            /// What a client may read: a short sentence that names nothing internal.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// The upstream answered, whatever the status.
    Upstream = "upstream", 0, None, "";
    /// A step answered as it was configured to (redirect, preflight, fixed answer).
    Direct = "direct", 200, None, "";
    /// A fault was injected, as configured: it has the status of the fault.
    FaultInjected = "fault_injected", 503, None, "a fault was injected";
    /// No route takes the request.
    NoRoute = "no_route", 404, Downstream, "404 page not found";
    /// The host is not served on this TLS connection.
    Misdirected = "misdirected", 421, Downstream, "this host is not served on this connection";
    /// The message breaks HTTP's rules or is ambiguous.
    BadRequest = "bad_request", 400, Downstream, "the request is malformed";
    /// The path or host has more than one reading.
    AmbiguousTarget = "ambiguous_target", 400, Downstream, "the request target is ambiguous";
    /// The version of HTTP is not spoken.
    HttpVersion = "http_version", 505, Downstream, "the HTTP version is not supported";
    /// A method that is not served, such as CONNECT.
    NotImplemented = "not_implemented", 501, Downstream, "the method is not implemented";
    /// The target is longer than the limit.
    TargetTooLong = "target_too_long", 414, Downstream, "the request target is too long";
    /// The head is larger than the limit.
    HeadTooLarge = "head_too_large", 431, Downstream, "the request header is too large";
    /// The body is larger than a limit.
    BodyTooLarge = "body_too_large", 413, Downstream, "the request body is too large";
    /// The head did not arrive in time.
    HeadTimeout = "head_timeout", 408, Downstream, "the request header took too long";
    /// The body stopped arriving.
    BodyTimeout = "body_timeout", 408, Downstream, "the request body stopped arriving";
    /// An expectation other than `100-continue`.
    Expectation = "expectation", 417, Downstream, "the expectation is not supported";
    /// Credentials are missing or wrong.
    Unauthorized = "unauthorized", 401, Downstream, "credentials are missing or wrong";
    /// The client may not.
    Forbidden = "forbidden", 403, Downstream, "access is denied";
    /// A rate limit.
    RateLimited = "rate_limited", 429, Downstream, "too many requests";
    /// A limit on requests at one time.
    InFlightLimited = "in_flight_limited", 429, Downstream, "too many requests at one time";
    /// A breaker is open.
    CircuitOpen = "circuit_open", 503, Upstream, "the service is overloaded or failing";
    /// The backend has no endpoint.
    NoEndpoint = "no_endpoint", 503, Upstream, "the service has no endpoint";
    /// All endpoints are unhealthy or set aside.
    NoHealthyEndpoint = "no_healthy_endpoint", 503, Upstream, "the service has no healthy endpoint";
    /// As many requests are under way to the service as may be.
    RequestsOverflow = "requests_overflow", 503, Upstream, "the service has too many requests";
    /// As many requests wait for a connection to the service as may.
    PendingOverflow = "pending_overflow", 503, Upstream, "too many requests wait for the service";
    /// The service has as many connections as it may have, and none became free in time.
    ConnectionsBusy = "connections_busy", 503, Upstream, "all connections of the service are in use";
    /// The bound on requests that follows from the latency of the service is reached.
    ConcurrencyLimited = "concurrency_limited", 503, Upstream, "the service is slower than it should be";
    /// The connection was refused or broke while being made.
    ConnectFailed = "connect_failed", 502, Upstream, "the service could not be reached";
    /// The connection was not made in time.
    ConnectTimeout = "connect_timeout", 504, Upstream, "the service could not be reached in time";
    /// The TLS handshake with the upstream failed.
    UpstreamTls = "upstream_tls", 502, Upstream, "the service could not be verified";
    /// A proxy of the mesh did not prove to be who it has to be, or refused to take us for who we
    /// are.
    IdentityRefused = "identity_refused", 502, Upstream, "the identity of the service was refused";
    /// This proxy has no certificate of the mesh yet, or none that is still valid.
    NoCertificate = "no_certificate", 503, Gateway, "this proxy has no certificate at present";
    /// The mesh does not know where the connection was to go, and such calls are not allowed.
    UnknownDestination = "unknown_destination", 502, Downstream, "the mesh does not know this destination";
    /// The control plane has not told in time about a service that is dialled for the first time.
    ServiceUnlearned = "service_unlearned", 503, Gateway, "nothing is known about the service yet";
    /// The upstream broke the connection before its answer was complete.
    UpstreamReset = "upstream_reset", 502, Upstream, "the service closed the connection";
    /// The upstream's answer breaks HTTP's rules.
    UpstreamProtocol = "upstream_protocol", 502, Upstream, "the service gave an invalid answer";
    /// The upstream's answer is larger than a limit.
    UpstreamTooLarge = "upstream_too_large", 500, Upstream, "the answer of the service is too large";
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout", 504, Upstream, "the service did not answer in time";
    /// The whole request did not end in time.
    RequestTimeout = "request_timeout", 504, Upstream, "the request took too long";
    /// A question to an authorizer could not be answered; closed, never open.
    AuthorizerFailed = "authorizer_failed", 500, Gateway, "authorization is unavailable";
    /// A protecting policy of the route cannot be enforced, so the route is not served.
    PolicyUnenforceable = "policy_unenforceable", 503, Gateway, "this route is not served";
    /// The backend that the route names does not exist or may not be used.
    InvalidBackend = "invalid_backend", 500, Gateway, "this route has no valid backend";
    /// A body has to be held, and there is no room for it at present.
    NoRoom = "no_room", 503, Gateway, "the gateway has no room for this message at present";
    /// The client went away before the answer was complete.
    ClientGone = "client_gone", 499, Downstream, "";
    /// The process is shutting down.
    Draining = "draining", 503, Gateway, "the gateway is shutting down";
    /// A bug of ours.
    Internal = "internal", 500, Gateway, "internal error";
}

impl Reason {
    /// Whether a bound on what is under way to a service was reached: no policy sends the request
    /// again, and no endpoint is to blame.
    pub fn is_overflow(self) -> bool {
        matches!(
            self,
            Self::RequestsOverflow
                | Self::PendingOverflow
                | Self::ConnectionsBusy
                | Self::ConcurrencyLimited
        )
    }

    /// Whether a failure says something of the endpoint that was asked. That a breaker is open, a
    /// bound is reached or nobody is there says nothing of any; and an answer that is too large for us
    /// is as large as it is.
    pub fn is_endpoints(self) -> bool {
        self.fault() == Fault::Upstream
            && !self.is_overflow()
            && !matches!(
                self,
                Self::CircuitOpen
                    | Self::NoEndpoint
                    | Self::NoHealthyEndpoint
                    | Self::UpstreamTooLarge
            )
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn index_is_position() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
