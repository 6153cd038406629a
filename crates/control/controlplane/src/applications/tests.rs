use std::time::SystemTime;

use super::*;

fn workload(name: &str) -> WorkloadName {
    WorkloadName::new(format!("shop/{name}"))
}

fn report(name: &str) -> ProxyReport {
    let reported_at = SystemTime::UNIX_EPOCH;
    ProxyReport { proxy: workload(name), trusts: [].into(), leaf: None, reported_at }
}

#[test]
fn what_a_stream_holds_counts_while_it_is_open() {
    let applications = Applications::new();
    let (one, two) =
        (applications.open(&workload("a")).unwrap(), applications.open(&workload("a")).unwrap());
    assert_eq!(applications.reports(), [], "nothing was given yet");
    assert_eq!(one.issued(report("first")), Given::First);
    assert_eq!(one.issued(report("second")), Given::Renewed);
    assert_eq!(two.issued(report("other")), Given::First);
    assert_eq!(applications.reports(), [report("second"), report("other")]);
    drop(one);
    assert_eq!(applications.reports(), [report("other")]);
    drop(two);
    assert_eq!(applications.reports(), []);
    assert!(applications.0.open.borrow().counts.is_empty());
}

#[test]
fn a_workload_has_so_many_streams_and_others_have_theirs() {
    let applications = Applications::new();
    let mut streams: Vec<_> =
        (0..STREAMS_MAX).map(|_| applications.open(&workload("a")).unwrap()).collect();
    applications.open(&workload("a")).unwrap_err();
    applications.open(&workload("b")).unwrap();
    streams.pop();
    applications.open(&workload("a")).unwrap();
}
