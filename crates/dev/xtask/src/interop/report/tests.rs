use super::*;

#[test]
fn a_failure_is_an_error_that_names_it() {
    let mut report = Report::new(None, false);
    report.check("good", || Ok(()));
    report.check("bad", || anyhow::bail!("no answer"));
    assert!(report.has_failed());
    let error = report.finish().unwrap_err().to_string();
    assert!(error.contains("bad") && !error.contains("good"), "{error}");
}

#[test]
fn what_is_skipped_counts_when_all_are_required() {
    for (require_all, is_ok) in [(false, true), (true, false)] {
        let mut report = Report::new(None, require_all);
        report.check("good", || Ok(()));
        report.skip("h2load", "h2load");
        assert_eq!(report.finish().is_ok(), is_ok);
    }
}

#[test]
fn only_wanted_checks_run() {
    let mut report = Report::new(Some("curl h2".into()), true);
    report.check("curl http/1.1: upload", || anyhow::bail!("it was not wanted"));
    report.skip("openssl", "openssl");
    assert!(!report.wants_some_of("grpc"));
    assert!(report.wants_some_of("curl"));
    report.check("curl h2c: upload", || Ok(()));
    report.finish().unwrap();
}

#[test]
fn a_name_that_fits_nothing_is_an_error() {
    let mut report = Report::new(Some("crul".into()), false);
    report.check("curl", || Ok(()));
    assert!(report.finish().is_err());
}
