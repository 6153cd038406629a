use std::rc::Rc;

use weft_runtime::time;

use super::*;
use crate::backend::Backend;
use crate::shared::Shared;
use crate::testing::{addr, backend, get, metrics, worker};

fn all(backend: &Rc<Backend>, bytes: u64) -> Vec<Copied> {
    std::iter::from_fn(|| backend.begin_copy(bytes)).collect()
}

#[test]
fn copies_of_all_workers_are_bounded_together_and_counted_where_they_are_dropped() {
    let shared = Shared::new(time::now());
    let workers = [(); 2].map(|()| worker(&shared, [backend("shop", &[addr(1)])]));
    let [one, other] = workers.each_ref().map(|worker| get(worker, "shop"));
    let first = one.begin_copy(0).expect("it is the first");
    let rest = all(&other, 0);
    assert_eq!(rest.len(), COPIES_MAX as usize - 1);
    assert_eq!(
        metrics(&workers[1], "weftway_upstream_refused"),
        [r#"weftway_upstream_refused_total{backend="shop",bound="copies",scope="backend"} 1"#]
    );
    drop(first);
    assert!(other.begin_copy(0).is_some(), "one has ended");
}

#[test]
fn what_copies_hold_in_memory_is_bounded() {
    let worker = worker(&Shared::new(time::now()), [backend("shop", &[addr(1)])]);
    let shop = get(&worker, "shop");
    let large = all(&shop, COPIES_BYTES_MAX / 4);
    assert_eq!(large.len(), 4);
    assert!(shop.begin_copy(1).is_none(), "nothing more fits");
    assert!(shop.begin_copy(0).is_some(), "but one without a body");
    drop(large);
    assert_eq!(all(&shop, COPIES_BYTES_MAX).len(), 1, "what was refused takes no room");
}
