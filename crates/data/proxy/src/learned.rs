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

/// From whose connection something was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learner {
    /// The workload's own, or one whose caller has proved who it is.
    Known,
    /// Anybody's.
    Stranger,
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

    /// Learns, in place of what was learned before; `None` forgets. That a server begins is not
    /// unlearned from a stranger, who could make its clients wait.
    pub(crate) fn learn(
        &self,
        direction: Direction,
        addr: SocketAddr,
        lesson: Option<Lesson>,
        learner: Learner,
    ) {
        let doubtful = learner == Learner::Stranger && lesson != Some(Lesson::ServerFirst);
        if doubtful && self.get(direction, addr) == Some(Lesson::ServerFirst) {
            return;
        }
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
        lessons.learn(Direction::Outbound, addr(0), Some(Lesson::ClientFirst), Learner::Known);
        lessons.learn(Direction::Outbound, addr(0), Some(Lesson::ServerFirst), Learner::Known);
        assert_eq!(get(Direction::Outbound), Some(Lesson::ServerFirst));
        assert_eq!(get(Direction::Inbound), None);
        lessons.learn(Direction::Outbound, addr(0), None, Learner::Known);
        assert_eq!(get(Direction::Outbound), None);
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_stays() {
        let lessons = Lessons::default();
        for index in 0..10 * LESSONS_MAX {
            lessons.learn(
                Direction::Inbound,
                addr(index),
                Some(Lesson::ServerFirst),
                Learner::Known,
            );
            let kept = lessons.get(Direction::Inbound, addr(0));
            assert_eq!(kept, Some(Lesson::ServerFirst), "after {index}");
        }
        assert_eq!(lessons.get(Direction::Inbound, addr(1)), None);
        let halves = lessons.0.borrow();
        assert!(halves.young.len() + halves.old.len() <= 2 * LESSONS_MAX);
    }

    #[test]
    fn a_stranger_does_not_unteach_that_a_server_begins() {
        let check = |known, said, by, expected| {
            let lessons = Lessons::default();
            lessons.learn(Direction::Inbound, addr(1), known, Learner::Known);
            lessons.learn(Direction::Inbound, addr(1), said, by);
            let learned = lessons.get(Direction::Inbound, addr(1));
            assert_eq!(learned, expected, "{known:?}, then {said:?} by {by:?}");
        };
        let (client, server) = (Some(Lesson::ClientFirst), Some(Lesson::ServerFirst));
        for by in [Learner::Known, Learner::Stranger] {
            check(client, server, by, server);
            check(client, None, by, None);
            check(None, client, by, client);
            check(None, server, by, server);
        }
        check(server, client, Learner::Known, client);
        check(server, None, Learner::Known, None);
        check(server, client, Learner::Stranger, server);
        check(server, None, Learner::Stranger, server);
    }
}
