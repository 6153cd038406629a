//! Child processes, their CPU time and their memory.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// A running program that ends when this value is dropped.
pub(crate) struct Process {
    child: Child,
}

/// How long a program may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Clock ticks a second in /proc; fixed by the kernel's interface.
const TICKS_PER_SEC: f64 = 100.0;

const PAGE_KIB: u64 = 4;

/// A command that runs on one CPU only.
pub(crate) fn pinned(cpu: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(cpu.to_string()).arg(program);
    command
}

// === impl Process ===

impl Process {
    /// Starts the command with its output going to the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let out = File::create(log).context("cannot create a log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// User and system time of the process and all its descendants, in seconds.
    pub(crate) fn cpu_secs(&self) -> f64 {
        self.family().iter().map(|stat| stat.ticks as f64 / TICKS_PER_SEC).sum()
    }

    /// Resident memory of the process and all its descendants, in KiB. Pages that several of them
    /// share count several times.
    pub(crate) fn rss_kib(&self) -> u64 {
        self.family().iter().map(|stat| stat.rss_pages * PAGE_KIB).sum()
    }

    /// Resident memory of the process alone that no file stands behind, in KiB.
    pub(crate) fn anonymous_kib(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.id());
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        anonymous_kib(&text).with_context(|| format!("{path} names no RssAnon"))
    }

    fn family(&self) -> Vec<Stat> {
        let all = Stat::all();
        let mut family = vec![self.id()];
        let mut index = 0;
        while index < family.len() {
            let parent = family[index];
            family.extend(all.iter().filter(|stat| stat.parent == parent).map(|stat| stat.id));
            index += 1;
        }
        all.into_iter().filter(|stat| family.contains(&stat.id)).collect()
    }

    fn stop(&mut self) {
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + GRACE;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// From the text of /proc/PID/status.
fn anonymous_kib(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// What /proc/PID/stat says about one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    id: u32,
    parent: u32,
    /// utime + stime.
    ticks: u64,
    rss_pages: u64,
}

impl Stat {
    fn all() -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let text = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat"));
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok())
            .filter_map(|entry| Self::parse(&text(entry).ok()?))
            .collect()
    }

    /// Fields are counted after the command name, which may hold blanks and brackets (proc(5)).
    fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.split_once(" (")?;
        let fields: Vec<&str> = rest.rsplit_once(") ")?.1.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            id: id.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            ticks: number(11)? + number(12)?,
            rss_pages: number(21)?,
        })
    }
}

#[cfg(test)]
mod tests;
