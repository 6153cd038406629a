//! Metrics without a lock or a contended atomic on the path of a request.
//!
//! Each worker owns its cells ([`Counter`], [`Gauge`], [`Histogram`]); only that worker writes
//! them, with plain loads and stores. The scrape, on the control thread, reads all cells of all
//! workers and adds up those with the same name and labels. A family is declared beside the code
//! that counts, as a [`Collect`], and registered here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// A number that only grows, written by one thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that goes up and down, written by one thread. May be seen below zero for an instant
/// per worker; the sum is what counts.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// Durations in buckets, written by one thread.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

/// A declared group of families; called at scrape time.
pub trait Collect: Send + Sync {
    /// Writes the present values.
    fn collect(&self, sink: &mut Sink);
}

/// All collectors of a process.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Collectors>>);

#[derive(Default)]
struct Collectors {
    kept: Vec<Arc<dyn Collect>>,
    borrowed: Vec<Weak<dyn Collect>>,
}

/// Where collectors write; adds up equal series.
#[derive(Debug, Default)]
pub struct Sink {
    families: BTreeMap<&'static str, Family>,
}

#[derive(Debug)]
struct Family {
    help: &'static str,
    kind: &'static str,
    series: BTreeMap<String, Value>,
}

#[derive(Debug, Clone)]
enum Value {
    Number(f64),
    Histogram { buckets: [u64; BUCKETS], sum_us: u64 },
}

/// Upper bounds of duration buckets, in microseconds. They cover a cache hit (0.5 ms) to a slow
/// upstream (10 s) in steps of about 2.5, so that a quantile read from them is off by at most that.
const BOUNDS_US: [u64; 13] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// The last bucket is for what lies above all bounds.
const BUCKETS: usize = BOUNDS_US.len() + 1;

// === impl Counter ===

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `amount`. Only one thread may write, so that no locked instruction is needed.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Adds `amount` from any thread, at the price of a locked instruction.
    pub fn add_shared(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// The present value.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// === impl Gauge ===

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    /// Adds so many, or takes them away.
    pub fn change(&self, by: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by.cast_unsigned()), Relaxed);
    }

    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The present value.
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed).cast_signed()
    }
}

// === impl Histogram ===

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let us = duration.as_micros() as u64;
        let bucket = BOUNDS_US.iter().take_while(|bound| us > **bound).count();
        self.buckets[bucket].inc();
        self.sum_us.add(us);
    }

    fn snapshot(&self) -> Value {
        Value::Histogram {
            buckets: std::array::from_fn(|index| self.buckets[index].value()),
            sum_us: self.sum_us.value(),
        }
    }
}

// === impl Registry ===

impl Registry {
    /// No collectors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a collector for the life of the process.
    pub fn register(&self, collector: Arc<dyn Collect>) {
        self.with(|all| all.kept.push(collector));
    }

    /// Adds a collector that goes away when its owner drops it.
    pub fn register_weak(&self, collector: Weak<dyn Collect>) {
        self.with(|all| all.borrowed.push(collector));
    }

    /// All series in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut sink = Sink::default();
        let (kept, borrowed) = self.with(|all| {
            all.borrowed.retain(|one| one.strong_count() > 0);
            (all.kept.clone(), all.borrowed.clone())
        });
        for collector in kept {
            collector.collect(&mut sink);
        }
        for collector in borrowed.iter().filter_map(Weak::upgrade) {
            collector.collect(&mut sink);
        }
        sink.render()
    }

    // The lock is held to copy or extend a list of pointers, never while collecting.
    fn with<T>(&self, work: impl FnOnce(&mut Collectors) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

// === impl Sink ===

impl Sink {
    /// A counter's value. `labels` are name and value; values are escaped here.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        value: u64,
    ) {
        self.number(name, help, "counter", labels, value as f64);
    }

    /// A gauge's value.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        self.number(name, help, "gauge", labels, value);
    }

    /// A histogram's buckets.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        histogram: &Histogram,
    ) {
        let series = self.series(name, help, "histogram", labels);
        match (series, histogram.snapshot()) {
            (
                Value::Histogram { buckets, sum_us },
                Value::Histogram { buckets: more, sum_us: more_us },
            ) => {
                for (bucket, more) in buckets.iter_mut().zip(more) {
                    *bucket += more;
                }
                *sum_us += more_us;
            }
            (series, snapshot) => *series = snapshot,
        }
    }

    fn number(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        labels: &[(&str, &str)],
        more: f64,
    ) {
        if let Value::Number(number) = self.series(name, help, kind, labels) {
            *number += more;
        }
    }

    fn series(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        labels: &[(&str, &str)],
    ) -> &mut Value {
        let family = self.families.entry(name).or_insert_with(|| Family {
            help,
            kind,
            series: BTreeMap::new(),
        });
        let empty = match kind {
            "histogram" => Value::Histogram { buckets: [0; BUCKETS], sum_us: 0 },
            _ => Value::Number(0.0),
        };
        family.series.entry(label_text(labels)).or_insert(empty)
    }

    fn render(&self) -> String {
        let mut out = String::new();
        for (name, family) in &self.families {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", family.help, family.kind);
            for (labels, value) in &family.series {
                render_value(&mut out, name, labels, value);
            }
        }
        out
    }
}

fn render_value(out: &mut String, name: &str, labels: &str, value: &Value) {
    let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
    let _ = match value {
        Value::Number(number) => writeln!(out, "{name}{open}{labels}{close} {number}"),
        Value::Histogram { buckets, sum_us } => {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut total = 0;
            for (index, count) in buckets.iter().enumerate() {
                total += count;
                let bound = BOUNDS_US.get(index).map(|us| (*us as f64 / 1e6).to_string());
                let bound = bound.as_deref().unwrap_or("+Inf");
                let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
            }
            let sum = *sum_us as f64 / 1e6;
            let _ = writeln!(out, "{name}_sum{open}{labels}{close} {sum}");
            writeln!(out, "{name}_count{open}{labels}{close} {total}")
        }
    };
}

fn label_text(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests;
