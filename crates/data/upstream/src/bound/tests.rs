use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use weft_runtime::task;

use super::*;
use crate::testing::{local, until};

#[test]
fn places_are_counted_before_they_are_bounded() {
    let gate = Gate::default();
    let places: Vec<_> = (0..3).map(|_| gate.try_enter().expect("there is no bound")).collect();
    gate.set_limit(Some(2));
    assert_eq!(gate.count(), 3);
    assert!(gate.try_enter().is_none(), "three of two are open");
    let [one, two, _three] = <[Place; 3]>::try_from(places).expect("there are three");
    drop(one);
    assert!(gate.try_enter().is_none(), "two of two are open");
    drop(two);
    let place = gate.try_enter().expect("one of two is open");
    assert!(gate.try_enter().is_none());
    gate.set_limit(Some(3));
    let more = gate.try_enter().expect("two of three are open");
    gate.set_limit(None);
    assert_eq!(gate.count(), 3);
    drop((place, more));
    assert_eq!(gate.count(), 1);
}

#[test]
fn a_bound_that_falls_and_rises_again_leaves_no_debt() {
    let gate = Gate::default();
    gate.set_limit(Some(4));
    let places: Vec<_> = (0..4).map(|_| gate.try_enter().expect("there are four")).collect();
    gate.set_limit(Some(1));
    gate.set_limit(Some(4));
    drop(places);
    let places: Vec<_> = std::iter::from_fn(|| gate.try_enter()).collect();
    assert_eq!(places.len(), 4);
}

#[test]
fn places_are_given_in_the_order_of_the_line_and_nobody_is_overtaken() {
    local(async {
        let gate = Gate::default();
        gate.set_limit(Some(1));
        let first = gate.try_enter().expect("it is free");
        let served = Rc::new(RefCell::new(Vec::new()));
        for number in 0..3 {
            let (line, served) = (gate.clone(), served.clone());
            task::spawn("waits", async move {
                let _wanted = line.want();
                let place = line.enter().await;
                served.borrow_mut().push(number);
                drop(place);
            });
            until("it waits", || gate.0.wanted.load(Relaxed) > number).await;
        }
        drop(first);
        assert!(gate.try_enter().is_none(), "the place belongs to the first in line");
        until("all were served", || served.borrow().len() == 3).await;
        assert_eq!(*served.borrow(), [0, 1, 2]);
        until("nobody waits", || !gate.is_wanted()).await;
    });
}

#[test]
fn who_gives_up_leaves_the_line_and_its_place_goes_on() {
    local(async {
        let gate = Gate::default();
        gate.set_limit(Some(1));
        let place = gate.try_enter().expect("it is free");
        let mut second = Box::pin(gate.enter());
        let mut third = pin!(gate.enter());
        assert!(poll_once(second.as_mut()).await.is_none());
        assert!(poll_once(third.as_mut()).await.is_none());
        drop(place);
        // The place was given to the second, which gives up without having taken it.
        drop(second);
        let place = third.await;
        assert!(gate.try_enter().is_none());
        drop(place);
        assert!(gate.try_enter().is_some());
    });
}

/// Every moment at which another thread may want a place: before anybody listens, while somebody
/// looks, and in between.
#[test]
fn no_call_is_missed_whenever_it_comes() {
    for moments in 0..8_u32 {
        local(async {
            let (gate, calls) = (Gate::default(), Notify::new());
            let mut wanted = Vec::new();
            let mut want = |moment: u32| {
                if moments & (1 << moment) != 0 {
                    wanted.push(gate.want());
                    calls.notify_waiters();
                }
            };
            want(0);
            let (seen, mut looks) = (Cell::new(0), 0);
            let mut heeding = pin!(heed(&calls, || {
                seen.set(gate.wanted());
                looks += 1;
                // Another thread calls when this one has just looked.
                if looks <= 2 {
                    want(looks);
                }
                true
            }));
            // Once more than there are calls.
            for _ in 0..4 {
                assert!(poll_once(heeding.as_mut()).await.is_none());
            }
            assert_eq!(seen.get(), gate.wanted(), "{moments:b}");
            assert!(gate.wanted() > 0 || moments & 3 == 0, "{moments:b}");
        });
    }
}

/// Polls once.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
