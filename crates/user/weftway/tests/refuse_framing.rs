//! Refused over HTTP/1.1: ambiguous framing, smuggling, and heads that break the grammar.
