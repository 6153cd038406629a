//! Running the clients with a time limit, and servers until the end.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Longest time for anything that is waited for. None of the checks takes a tenth of it.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(5);

/// A client on its way. Its output goes to files, so that it is never held up by us. It is killed
/// when dropped.
#[derive(Debug)]
pub(super) struct Running {
    name: String,
    child: Child,
    stdout: File,
    stderr: File,
}

/// A client that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
}

/// Runs a client to its end, whatever that is.
///
/// # Errors
///
/// When it cannot be started, or does not end in time.
pub(super) fn run(command: &mut Command) -> anyhow::Result<Ended> {
    Running::start(command)?.wait()
}

/// Runs a client that must succeed.
///
/// # Errors
///
/// As [`run`], and when it fails; the message says what it printed.
pub(super) fn succeed(command: &mut Command) -> anyhow::Result<Ended> {
    let ended = run(command)?;
    if !ended.status.success() {
        let name = Path::new(command.get_program()).display().to_string();
        bail!("{name} ended with {}: {}", ended.status, ended.said());
    }
    Ok(ended)
}

/// Waits until `look` finds something.
///
/// # Errors
///
/// When it does not in time, or fails itself.
pub(super) fn wait_for<T>(
    what: &str,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > DEADLINE {
            bail!("waited {} s in vain for {what}", DEADLINE.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
}

// === impl Running ===

impl Running {
    /// Starts a client without an input, unless the command says otherwise by [`Running::feed`].
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        Self::spawn(command, Stdio::null())
    }

    /// Starts a client that reads a file as its input.
    pub(super) fn feed(command: &mut Command, input: &Path) -> anyhow::Result<Self> {
        let file = File::open(input).with_context(|| format!("cannot read {}", input.display()))?;
        Self::spawn(command, Stdio::from(file))
    }

    fn spawn(command: &mut Command, stdin: Stdio) -> anyhow::Result<Self> {
        let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let name = Path::new(command.get_program()).display().to_string();
        let child = command
            .stdin(stdin)
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        Ok(Self { name, child, stdout, stderr })
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) -> anyhow::Result<Ended> {
        let child = &mut self.child;
        let status = wait_for(&format!("the end of {}", self.name), || Ok(child.try_wait()?))?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.stdout.rewind()?;
        self.stdout.read_to_end(&mut stdout)?;
        self.stderr.rewind()?;
        self.stderr.read_to_end(&mut stderr)?;
        Ok(Ended { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Ended ===

impl Ended {
    /// Standard output as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// What it said, in one line: the end of its errors, or of its output when there are none.
    pub(super) fn said(&self) -> String {
        let stdout = self.text();
        let said = if self.stderr.trim().is_empty() { &stdout } else { &self.stderr };
        let words: Vec<&str> = said.split_whitespace().collect();
        words[words.len().saturating_sub(60)..].join(" ")
    }
}

// === impl Server ===

impl Server {
    /// Starts a server; what it prints goes to files.
    pub(super) fn start(
        command: &mut Command,
        stdout: &Path,
        stderr: &Path,
    ) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(stdout)?)
            .stderr(File::create(stderr)?)
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// Waits until the server has written this file, and reads it.
    ///
    /// # Errors
    ///
    /// When the server ends instead.
    pub(super) fn wait_for_file(&mut self, path: &Path) -> anyhow::Result<String> {
        wait_for(&path.display().to_string(), || {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}");
            }
            Ok(std::fs::read_to_string(path).ok())
        })
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn terminate(mut self) -> anyhow::Result<ExitStatus> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .context("the process is gone")?;
        wait_for("the end of the server", || Ok(self.child.try_wait()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
