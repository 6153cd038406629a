//! Memory that the connections of one thread hand on to each other.

use std::cell::RefCell;
use std::rc::Rc;

use crate::h2::section::Section;

/// A new byte buffer has room for so much: a head and a small body.
const BYTES: usize = 4 << 10;

/// A buffer that has grown larger is let go, so that one huge head does not stay in memory.
const BYTES_KEPT_MAX: usize = 64 << 10;

/// So many buffers are kept, as many as requests are usually in flight on a worker; 2 MiB if none
/// has grown.
const BUFFERS_MAX: usize = 512;

/// A section that has grown larger is let go.
const SECTION_BYTES_KEPT_MAX: usize = 16 << 10;

/// So many sections are kept.
const SECTIONS_MAX: usize = 256;

/// Buffers and heads that are empty, and wait for the next message. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Spares(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    bytes: RefCell<Vec<Vec<u8>>>,
    #[expect(clippy::vec_box, reason = "they are kept and lent as boxes")]
    sections: RefCell<Vec<Box<Section>>>,
}

// === impl Spares ===

impl Spares {
    /// An empty buffer.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.bytes.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BYTES))
    }

    /// Gives a buffer back.
    pub fn give_bytes(&self, mut bytes: Vec<u8>) {
        let mut kept = self.0.bytes.borrow_mut();
        if (1..=BYTES_KEPT_MAX).contains(&bytes.capacity()) && kept.len() < BUFFERS_MAX {
            bytes.clear();
            kept.push(bytes);
        }
    }

    /// Gives a section back that was read.
    pub fn give_section(&self, mut section: Box<Section>) {
        let mut kept = self.0.sections.borrow_mut();
        if section.capacity_bytes() <= SECTION_BYTES_KEPT_MAX && kept.len() < SECTIONS_MAX {
            section.clear();
            kept.push(section);
        }
    }

    /// An empty section.
    pub(super) fn section(&self) -> Box<Section> {
        self.0.sections.borrow_mut().pop().unwrap_or_default()
    }
}
