use proptest::collection::{btree_map, btree_set};
use proptest::prelude::any;
use proptest::{prop_assert_eq, proptest};

use super::*;

proptest! {
    #[test]
    fn it_finds_what_a_search_finds(
        map in btree_map(0_u8..40, any::<u8>(), 0..20),
        keys in btree_set(0_u8..40, 0..20),
    ) {
        let mut steps = InStep::new(Some(&map));
        for key in keys {
            // A key that is asked for twice is found twice.
            prop_assert_eq!(steps.get(&key), map.get(&key));
            prop_assert_eq!(steps.get(&key), map.get(&key));
        }
    }
}

#[test]
fn without_a_map_nothing_is_found() {
    assert_eq!(InStep::<u8, u8>::new(None).get(&1), None);
}
