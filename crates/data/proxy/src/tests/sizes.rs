//! What a connection and a request take in memory. A bound that is missed by far on either side
//! says that something has moved: make it right, or make it small again.

use weft_http::h1::Conn;
use weft_http::h2;

use crate::connection::Connection;
use crate::exchange::Exchange;
use crate::{accept, captured, serve_h1};

fn check(what: &str, bytes: usize, range: std::ops::RangeInclusive<usize>) {
    assert!(range.contains(&bytes), "{what} takes {bytes} bytes, not {range:?}");
}

/// The size of the future that `make` makes, which is never called.
fn one<A, F: Future>(_make: impl Fn(A) -> F) -> usize {
    size_of::<F>()
}

fn two<A, B, F: Future>(_make: impl Fn(A, B) -> F) -> usize {
    size_of::<F>()
}

fn three<A, B, C, F: Future>(_make: impl Fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn sizes_are_what_they_were() {
    // Together, with the socket's registration, what an idle connection costs.
    check("the task of a connection", two(accept::connection), 200..=400);
    check("the task of a captured connection", three(captured::serve), 300..=700);
    check("its facts", size_of::<Connection>(), 100..=160);
    check("its HTTP/1.1 state", size_of::<Conn>(), 180..=280);
    // Reused from request to request.
    check("a busy connection", one(serve_h1::serve_busy), 1_000..=2_600);
    check("an exchange", size_of::<Exchange>(), 600..=1_000);
    check("a stream of HTTP/2", size_of::<h2::Stream>(), 48..=96);
}
