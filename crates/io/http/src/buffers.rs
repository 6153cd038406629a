//! The buffers of one worker. A connection holds some only while bytes are in them.

use std::cell::RefCell;
use std::rc::Rc;

use weft_net::buffer::{Buffer, BufferPool};

/// An output buffer starts with this many bytes: a head and a small body fit.
const OUTPUT_BYTES: usize = 4 << 10;

/// A larger one is dropped instead of kept, so that one huge head does not stay in memory.
const OUTPUT_KEPT_BYTES_MAX: usize = 64 << 10;

/// As many as requests are usually in flight on a worker at one time; 2 MiB.
const OUTPUTS_KEPT_MAX: usize = 512;

/// Shared by all connections of a worker.
#[derive(Debug, Clone)]
pub struct Buffers(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    input: BufferPool,
    output: RefCell<Vec<Vec<u8>>>,
}

// === impl Buffers ===

impl Buffers {
    /// Takes input buffers from `input`.
    pub fn new(input: BufferPool) -> Self {
        Self(Rc::new(Inner { input, output: RefCell::default() }))
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

    /// An empty output buffer.
    pub fn output(&self) -> Vec<u8> {
        self.0.output.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(OUTPUT_BYTES))
    }

    /// Gives an output buffer back.
    pub fn give_output(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.output.borrow_mut();
        if buffer.capacity() <= OUTPUT_KEPT_BYTES_MAX && kept.len() < OUTPUTS_KEPT_MAX {
            buffer.clear();
            kept.push(buffer);
        }
    }
}
