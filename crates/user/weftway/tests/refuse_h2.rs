//! Refused over HTTP/2: malformed heads as stream errors, exhaustion as GOAWAY ENHANCE_YOUR_CALM.
