//! Resources of the mesh, as proxies get them: no panic; what is read is written so that it reads the
//! same. A proxy also reads them from its disk.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_wire::{decode, encode};

const NAME: &str = "payments.shop.svc.cluster.local";

fuzz_target!(|data: &[u8]| {
    if let Ok(entry) = decode::index_entry(NAME, data) {
        let again = decode::index_entry(NAME, &encode::index_entry(&entry));
        assert_eq!(again.as_ref(), Ok(&entry));
    }
    if let Ok(service) = decode::service(NAME, data) {
        let again = decode::service(NAME, &encode::service(&service));
        assert_eq!(again.as_ref(), Ok(&service));
    }
    if let Ok(workload) = decode::workload("shop/payments", data) {
        let again = decode::workload("shop/payments", &encode::workload(&workload));
        assert_eq!(again.as_ref(), Ok(&workload));
    }
    // A sum comes first, so that few inputs get further.
    let _ = weft_link::saved::load(data);
});
