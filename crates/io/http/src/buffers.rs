//! The buffers of one worker. A connection holds some only while bytes are in them.

use std::rc::Rc;

use weft_message::h2::Spares;
use weft_net::buffer::{Buffer, BufferPool};

/// Shared by all connections of a worker.
#[derive(Debug, Clone)]
pub struct Buffers(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    input: BufferPool,
    output: Spares,
}

// === impl Buffers ===

impl Buffers {
    /// Takes input buffers from `input`.
    pub fn new(input: BufferPool) -> Self {
        Self(Rc::new(Inner { input, output: Spares::default() }))
    }

    /// For heads and small bodies.
    pub fn small(&self) -> Buffer {
        self.0.input.small()
    }

    /// For bodies that keep coming.
    pub fn bulk(&self) -> Buffer {
        self.0.input.bulk()
    }

    /// The pool of input buffers.
    pub fn pool(&self) -> &BufferPool {
        &self.0.input
    }

    /// Memory for output, and for what streams of HTTP/2 receive.
    pub fn spares(&self) -> &Spares {
        &self.0.output
    }

    /// An empty output buffer.
    pub fn output(&self) -> Vec<u8> {
        self.0.output.bytes()
    }

    /// Gives an output buffer back.
    pub fn give_output(&self, buffer: Vec<u8>) {
        self.0.output.give_bytes(buffer);
    }
}
