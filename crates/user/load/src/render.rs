//! A report for a terminal.

use std::fmt::{self, Write};

use crate::report::Report;

/// Width of the longest histogram bar in columns.
const BAR_COLUMNS: u64 = 40;

// === impl Report ===

impl Report {
    /// Summary, latency histogram and percentiles as plain text of at most 80 columns, ending in a
    /// line break.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(2048);
        // Writing to a string cannot fail.
        let _ = self.summary(&mut out);
        if self.requests > 0 {
            let _ = self.bars(&mut out);
            let _ = self.percentiles(&mut out);
        }
        let _ = self.outcomes(&mut out);
        out
    }

    fn summary(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "{} {} ({})", self.method, self.url, self.protocol)?;
        write!(out, "  {}", count(self.connections as u64, "connection"))?;
        if self.streams > 1 {
            write!(out, " x {} streams", self.streams)?;
        }
        write!(out, ", {}", count(self.threads as u64, "thread"))?;
        match self.target_rps {
            Some(rate) => writeln!(out, ", open loop at {rate:.0} requests/s")?,
            None => writeln!(out, ", closed loop")?,
        }
        writeln!(out)?;
        writeln!(out, "  Requests   {} answered, {} failed", self.requests, self.failed)?;
        if self.missed > 0 {
            writeln!(out, "  Missed     {} due before the end and never started", self.missed)?;
        }
        writeln!(out, "  Duration   {:.3} s", self.duration)?;
        writeln!(out, "  Rate       {:.1} requests/s", self.rps)?;
        let per_sec = if self.duration > 0.0 { self.bytes as f64 / self.duration } else { 0.0 };
        writeln!(out, "  Bodies     {} ({}/s)", bytes(self.bytes as f64), bytes(per_sec))
    }

    fn bars(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\nLatency histogram (ms)")?;
        let most = self.histogram.iter().map(|bucket| bucket.count).max().unwrap_or(1).max(1);
        for bucket in &self.histogram {
            // A bucket that holds anything shows at least one mark.
            let columns = (bucket.count * BAR_COLUMNS).div_ceil(most) as usize;
            let bar = "■".repeat(columns);
            writeln!(out, "  {:>10.3} {:>10} {bar}", bucket.up_to, bucket.count)?;
        }
        Ok(())
    }

    fn percentiles(&self, out: &mut String) -> fmt::Result {
        let latencies = &self.latencies;
        let from = if self.target_rps.is_some() { ", from the intended start" } else { "" };
        writeln!(out, "\nLatency (ms{from})")?;
        let rows = [
            ("min", latencies.min),
            ("mean", latencies.mean),
            ("p50", latencies.p50),
            ("p75", latencies.p75),
            ("p90", latencies.p90),
            ("p95", latencies.p95),
            ("p99", latencies.p99),
            ("p99.9", latencies.p999),
            ("max", latencies.max),
        ];
        for (name, value) in rows {
            writeln!(out, "  {name:<6} {value:>12.3}")?;
        }
        Ok(())
    }

    fn outcomes(&self, out: &mut String) -> fmt::Result {
        if !self.status_codes.is_empty() {
            writeln!(out, "\nStatus codes")?;
        }
        for (code, count) in &self.status_codes {
            writeln!(out, "  {code}  {count}")?;
        }
        if !self.errors.is_empty() {
            writeln!(out, "\nErrors")?;
        }
        for (kind, count) in &self.errors {
            let sample = self.error_samples.get(kind).map_or("", String::as_str);
            writeln!(out, "  {kind:<8} {count}  {sample}")?;
        }
        Ok(())
    }
}

fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn bytes(amount: f64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut amount = amount;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{amount:.digits$} {}", UNITS[unit])
}
