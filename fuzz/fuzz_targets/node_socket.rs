//! What is said to a node over its socket: no panic; what is read is written so that it reads the
//! same; more bytes do not change a message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_node::api::{Answer, Request, read_message, write_message};
use weft_node::Name;

fuzz_target!(|data: &[u8]| {
    if let Ok(Some((request, consumed))) = read_message::<Request>(data) {
        assert!(consumed <= data.len());
        let bytes = write_message(&request).expect("it was short enough");
        let (again, length) = read_message(&bytes).expect("it reads").expect("it is whole");
        assert_eq!((request, bytes.len()), (again, length));
        assert!(matches!(read_message::<Request>(&data[..consumed]), Ok(Some(_))));
    }
    let _ = read_message::<Answer>(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(name) = text.parse::<Name>()
    {
        assert_eq!(name.to_string().parse(), Ok(name));
    }
});
