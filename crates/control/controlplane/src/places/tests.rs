use super::*;
use crate::attest::Process;

fn of(uid: u32) -> Peer {
    Peer::Process(Process { uid, pid: None })
}

#[test]
fn no_user_takes_the_places_of_others() {
    let places = Places::new(8);
    let mut own: Vec<_> = (0..2).map(|_| places.take(&of(1000)).unwrap()).collect();
    assert!(places.take(&of(1000)).is_none(), "a quarter, rounded up");
    assert!(places.take(&Peer::Application(Process { uid: 1000, pid: None })).is_none());
    assert!(places.take(&of(2102)).is_some());
    own.pop();
    assert!(places.take(&of(1000)).is_some());
    drop(own);
    assert!(places.0.taken.borrow().by_user.is_empty());
}

#[test]
fn there_are_so_many_places() {
    let places = Places::new(2);
    let unknown = Peer::Unknown { addr: None };
    let taken: Vec<_> = (0..2).map(|_| places.take(&unknown).unwrap()).collect();
    assert!(places.take(&unknown).is_none());
    assert_eq!(places.taken(), 2);
    drop(taken);
    assert_eq!(places.taken(), 0);
}
