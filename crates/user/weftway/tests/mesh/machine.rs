//! A machine for one test: namespaces of network, mounts and processes.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use weft_testkit::{program, wait};

/// Run inside, before anything else: what tells of the network is told of this one, and what
/// commands write below `/run` and `/etc/netns` is nobody else's. Lives as long as its input, and
/// ends everything then, with the machine's folder.
const SETUP: &str = "mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run && \
                     mkdir -p /etc/netns && mount -t tmpfs tmpfs /etc/netns && \
                     ip link set lo up && echo ready && cat; kill -9 -1; rm -rf \"$1\"";

/// A machine that ends with everything in it when it is dropped, or when the test dies.
#[derive(Debug)]
pub(crate) struct Machine {
    unshare: Child,
    /// The first process inside, as seen from outside.
    first: Pid,
    folder: tempfile::TempDir,
}

/// A process inside, with its output in a file. Dies with its machine.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

// === impl Machine ===

impl Machine {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Proxies and applications run as others, and have to get at their files.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut unshare = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", SETUP, "sh"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is installed");
        let mut said = [0; 6];
        let read = unshare.stdout.as_mut().unwrap().read_exact(&mut said);
        assert!(read.is_ok(), "no namespaces can be made: is this root's, and unconfined?");
        let first = child_of(&unshare).expect("it has said something");
        Self { unshare, first, folder }
    }

    /// A folder that goes with the machine; everybody may look into it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        // In one step, because it may be watched.
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, text).unwrap();
        std::fs::rename(&temporary, &path).unwrap();
        path
    }

    /// What a file of the folder has.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder().join(name)).unwrap()
    }

    /// The end of every log, for who has to find out why a test failed.
    pub(crate) fn show_logs(&self) {
        show_logs(self.folder());
    }

    /// A command inside.
    pub(crate) fn command(&self, argv: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let first = self.first.as_raw_nonzero().to_string();
        command.args(["--target", &first, "--net", "--mount", "--pid", "--"]).args(argv);
        command.current_dir("/").env_remove("WEFTWAY_STATE");
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, argv: &[&str]) -> Output {
        program::run(&mut self.command(argv))
    }

    /// What a command prints; it has to succeed.
    pub(crate) fn output(&self, argv: &[&str]) -> String {
        let output = self.run(argv);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{argv:?}: {}\n{stderr}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a command that stays.
    pub(crate) fn spawn(&self, name: &str, argv: &[&str]) -> Process {
        let log = self.folder().join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        let mut command = self.command(argv);
        command.stdin(Stdio::null()).stderr(file.try_clone().unwrap()).stdout(file);
        Process { child: command.spawn().unwrap(), log }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

// === impl Process ===

impl Process {
    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has printed that.
    pub(crate) fn until_printed(&self, text: &str) {
        let name = self.log.display();
        wait::until_true(&format!("`{text}` in {name}"), || self.printed().contains(text));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = wait::until("the process", || child_of(&self.child));
        let _ = kill_process(pid, signal);
    }

    /// Waits for its end; its exit code.
    pub(crate) fn code(&mut self) -> Option<i32> {
        let name = self.log.display().to_string();
        wait::until(&format!("the end of {name}"), || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = child_of(&self.child) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The one child of `unshare` or `nsenter`, once there is one.
fn child_of(parent: &Child) -> Option<Pid> {
    let pid = parent.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

fn show_logs(folder: &Path) {
    const LINES_MAX: usize = 40;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "log") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let end = &lines[lines.len().saturating_sub(LINES_MAX)..];
                println!("--- {}\n{}", path.display(), end.join("\n"));
            }
        }
    }
}
