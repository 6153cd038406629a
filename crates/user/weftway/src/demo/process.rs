//! A role of this program, as a process of its own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use weft_node::host::Host;
use weft_runtime::time;

/// A role that is about to be started.
pub(super) struct Plan {
    role: &'static str,
    command: Command,
}

/// A running role; killed when dropped. [`Process::stop`] ends it in order.
pub(super) struct Process {
    role: &'static str,
    child: Child,
    log: PathBuf,
}

/// What does not end by then is killed.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// How often is looked.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Lines of a log that are shown of a process that has failed.
const LOG_LINES: usize = 8;

// === impl Plan ===

impl Plan {
    pub(super) fn new(role: &'static str) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let mut command = match Host::has_program("setpriv") {
            // The kernel ends it when the demo is killed, and cannot.
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "TERM", "--"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        // Ctrl-C is for the demo, which then ends its processes in order.
        command.arg(role).stdin(Stdio::null()).process_group(0);
        Ok(Self { role, command })
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(super) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    /// Starts it; what it says goes to the file `log`.
    pub(super) fn start(mut self, log: &Path) -> anyhow::Result<Process> {
        let Self { role, .. } = self;
        let context = || format!("`weftway {role}` cannot be started");
        let file = fs::File::create(log).with_context(context)?;
        self.command.stdout(file.try_clone().with_context(context)?).stderr(file);
        let child = self.command.spawn().with_context(context)?;
        Ok(Process { role, child, log: log.into() })
    }
}

// === impl Process ===

impl Process {
    /// Waits until `ready` gives something.
    pub(super) async fn until<T>(
        &mut self,
        limit: Duration,
        mut ready: impl AsyncFnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let started = time::now();
        loop {
            if let Some(found) = ready().await {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "`weftway {}` ended at once, with {status}:\n{}",
                    self.role,
                    self.last_words()
                );
            }
            if time::now() - started > limit {
                bail!("`weftway {}` did not become ready:\n{}", self.role, self.last_words());
            }
            time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits for its end, and gives what it has said. An end with another code than 0 is an error.
    pub(super) async fn output(mut self, limit: Duration) -> anyhow::Result<String> {
        let started = time::now();
        while time::now() - started <= limit {
            match self.child.try_wait()? {
                None => time::sleep(POLL_INTERVAL).await,
                Some(status) if status.success() => {
                    return Ok(fs::read_to_string(&self.log).unwrap_or_default());
                }
                Some(_) => bail!("`weftway {}` failed:\n{}", self.role, self.last_words()),
            }
        }
        bail!("`weftway {}` took too long:\n{}", self.role, self.last_words())
    }

    /// Ends it in order.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        // The child is ours and was not waited for, so the id is still its own.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let started = time::now();
        while self.child.try_wait()?.is_none() {
            if time::now() - started > END_TIMEOUT {
                self.child.kill()?;
            }
            time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
