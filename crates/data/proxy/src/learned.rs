//! Who speaks first, as far as it was learned.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use weft_model::listener::Direction;

/// Destinations remembered in each of the two halves; some 100 KB altogether.
const LESSONS_MAX: usize = 1_024;

/// Who speaks first at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// The client, and what it says decides where it is sent: HTTP or TLS.
    ClientFirst,
    /// The server.
    ServerFirst,
}

/// What was learned of destinations, by direction and address. Of more than it can hold it forgets
/// those that were not asked for lately.
#[derive(Debug, Default)]
pub(crate) struct Lessons(RefCell<Halves>);

#[derive(Debug, Default)]
struct Halves {
    young: HashMap<(Direction, SocketAddr), Lesson>,
    old: HashMap<(Direction, SocketAddr), Lesson>,
}

// === impl Lessons ===

impl Lessons {
    /// What is known of a destination.
    pub(crate) fn get(&self, direction: Direction, addr: SocketAddr) -> Option<Lesson> {
        let mut halves = self.0.borrow_mut();
        let key = (direction, addr);
        if let Some(lesson) = halves.young.get(&key) {
            return Some(*lesson);
        }
        let lesson = halves.old.remove(&key)?;
        halves.insert(key, lesson);
        Some(lesson)
    }

    /// Learns, in place of what was learned before; `None` forgets.
    pub(crate) fn set(&self, direction: Direction, addr: SocketAddr, lesson: Option<Lesson>) {
        let mut halves = self.0.borrow_mut();
        let key = (direction, addr);
        halves.old.remove(&key);
        match lesson {
            Some(lesson) => halves.insert(key, lesson),
            None => {
                halves.young.remove(&key);
            }
        }
    }
}

// === impl Halves ===

impl Halves {
    fn insert(&mut self, key: (Direction, SocketAddr), lesson: Lesson) {
        if self.young.len() >= LESSONS_MAX && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, lesson);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(index: usize) -> SocketAddr {
        let port = u16::try_from(1 + index % 60_000).unwrap();
        SocketAddr::from(([10, 0, (index / 60_000) as u8, 1], port))
    }

    #[test]
    fn the_last_lesson_holds() {
        let lessons = Lessons::default();
        let get = |direction| lessons.get(direction, addr(0));
        assert_eq!(get(Direction::Outbound), None);
        lessons.set(Direction::Outbound, addr(0), Some(Lesson::ClientFirst));
        lessons.set(Direction::Outbound, addr(0), Some(Lesson::ServerFirst));
        assert_eq!(get(Direction::Outbound), Some(Lesson::ServerFirst));
        assert_eq!(get(Direction::Inbound), None);
        lessons.set(Direction::Outbound, addr(0), None);
        assert_eq!(get(Direction::Outbound), None);
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_stays() {
        let lessons = Lessons::default();
        for index in 0..10 * LESSONS_MAX {
            lessons.set(Direction::Inbound, addr(index), Some(Lesson::ServerFirst));
            let kept = lessons.get(Direction::Inbound, addr(0));
            assert_eq!(kept, Some(Lesson::ServerFirst), "after {index}");
        }
        assert_eq!(lessons.get(Direction::Inbound, addr(1)), None);
        let halves = lessons.0.borrow();
        assert!(halves.young.len() + halves.old.len() <= 2 * LESSONS_MAX);
    }
}
