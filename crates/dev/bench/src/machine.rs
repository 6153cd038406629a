//! The shape of the machine, for the header of a result.

use std::process::Command;

/// CPU model, cores, memory and kernel in one line.
pub(crate) fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown").to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let online = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let memory_kib = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().split(' ').next()?.parse().ok())
        .unwrap_or(0_u64);
    format!(
        "{}, {} MHz, {} CPUs, {} GiB, kernel {}",
        field("model name"),
        field("cpu MHz").split('.').next().unwrap_or("?"),
        online.max(cores),
        memory_kib / (1024 * 1024),
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

/// Today, as YYYY-MM-DD (UTC).
pub(crate) fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// The first line that a program prints about its version, if the program is there.
pub(crate) fn version_line(program: &str, args: &[&str], marker: &str) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let both = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&both).into_owned();
    text.lines().find(|line| line.contains(marker)).map(|line| line.trim().to_owned())
}
