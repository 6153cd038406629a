use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};

use super::*;

fn field<'a>(name: &'a [u8], value: &'a [u8]) -> Field<'a> {
    Field {
        name: Name::new(name),
        value,
        is_name_valid: true,
        is_value_valid: false,
        is_never_indexed: false,
    }
}

fn texts(table: &Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let fields = (0..table.len()).map(|index| table.field(index).unwrap());
    fields.map(|field| (field.name.as_bytes().to_vec(), field.value.to_vec())).collect()
}

#[test]
fn an_entry_keeps_what_is_known_of_it() {
    let mut table = Table::new();
    assert!(table.insert(&field(b"via", b"edge")));
    assert_eq!(table.field(0), Some(field(b"via", b"edge")));
    assert_eq!(table.field(1), None);
    assert_eq!(table.bytes(), 32 + 3 + 4);
    assert_eq!(table.text, b"edge", "a known name takes no room");
}

#[test]
fn a_field_larger_than_the_table_empties_it() {
    let mut table = Table::new();
    table.set_bytes_max(100);
    assert!(table.insert(&field(b"a", &[b'1'; 67])));
    assert!(!table.insert(&field(b"a", &[b'1'; 68])));
    assert_eq!((table.len(), table.bytes()), (0, 0));
}

#[test]
fn a_table_of_size_zero_has_no_memory() {
    let mut table = Table::new();
    table.insert(&field(b"x-a", b"1"));
    table.set_bytes_max(0);
    assert_eq!((table.len(), table.bytes()), (0, 0));
    assert_eq!((table.text.capacity(), table.entries.capacity()), (0, 0));
    assert!(!table.insert(&field(b"x-a", b"1")));
}

#[test]
fn the_largest_table_holds_the_largest_field() {
    let mut table = Table::new();
    table.set_bytes_max(u32::MAX);
    let value = vec![b'1'; usize::from(u16::MAX) - 32 - 1];
    assert!(table.insert(&field(b"a", &value)));
    assert_eq!(table.field(0), Some(field(b"a", &value)));
}

proptest! {
    /// A list of fields that is cut where RFC 7541 section 4 says.
    #[test]
    fn a_table_is_like_a_list(
        steps in vec(
            prop_oneof![
                9 => (0usize..4, 0usize..600).prop_map(Ok),
                1 => any::<u16>().prop_map(Err),
            ],
            0..200,
        ),
    ) {
        let names: [&[u8]; 4] = [b":path", b"accept", b"x-some-name", b"y"];
        let (mut table, mut list, mut bytes_max) = (Table::new(), Vec::new(), 4096);
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Ok((name, length)) => {
                    let (name, value) = (names[name], vec![at as u8; length]);
                    table.insert(&field(name, &value));
                    list.insert(0, (name.to_vec(), value));
                }
                Err(size) => {
                    bytes_max = usize::from(size) % 6000;
                    table.set_bytes_max(bytes_max as u32);
                }
            }
            let mut bytes = 0;
            list.retain(|(name, value): &(Vec<u8>, Vec<u8>)| {
                bytes += name.len() + value.len() + FIELD_OVERHEAD;
                bytes <= bytes_max
            });
            assert_eq!(texts(&table), list);
            assert!(table.bytes() as usize <= bytes_max);
            assert!(table.text.capacity() <= (6000 * 5 / 4).max(TEXT_BYTES_MIN));
        }
    }
}
