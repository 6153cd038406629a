use super::*;

#[test]
fn a_stat_line_is_read_behind_its_command_name() {
    let line = "42 (a) b) S 7 42 42 0 -1 4194560 1 2 3 4 500 60 5 6 20 0 3 0 100 1000000 250 \
                18446744073709551615 1 1 0";
    assert_eq!(Stat::parse(line), Some(Stat { id: 42, parent: 7, ticks: 560, rss_pages: 250 }),);
    assert_eq!(Stat::parse("42"), None);
}

#[test]
fn anonymous_memory_is_read() {
    let status = "Name:\tweftway\nVmRSS:\t   20796 kB\nRssAnon:\t    2200 kB\nThreads:\t4\n";
    assert_eq!(anonymous_kib(status), Some(2200));
    assert_eq!(anonymous_kib("Name:\tkthreadd\n"), None);
}
