//! How processes are started: as whom, where, with what.
//!
//! Between root and the application stand programs (`ip netns exec`, `setpriv`) that run with root's
//! rights, so they get a clean environment: a caller's `LD_PRELOAD` or `PATH` must not have its way
//! with them. The application's own environment is set by a script that a shell runs as the
//! caller, and that nobody else can read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::network::PROXY_UID;

#[cfg(test)]
mod tests;

/// Variables that a shell keeps for itself and may refuse to take.
const SHELL_OWN: [&str; 10] = [
    "BASHOPTS",
    "BASH_VERSINFO",
    "EUID",
    "GROUPS",
    "IFS",
    "LINENO",
    "OPTIND",
    "PPID",
    "SHELLOPTS",
    "UID",
];

/// The user that an application runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// A program of a user, with its surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Program and arguments; the program is looked for in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// The folder it starts in.
    pub cwd: PathBuf,
    /// The rights that its new files do not get; 0o022 as a rule.
    pub umask: u32,
}

/// The program that is to be a workload's proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// The file its output is added to; ours if `None`.
    pub log: Option<PathBuf>,
}

/// What stands before a program: namespace and user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The network namespace, unless it is the machine's.
    pub namespace: Option<String>,
    /// Whether the node may act for other users.
    pub is_root: bool,
    /// Whether there is `setpriv`.
    pub has_setpriv: bool,
}

// === impl Surroundings ===

impl Surroundings {
    /// Program and arguments for a user's script. It gets SIGTERM when the node dies.
    pub fn application(&self, user: &User, script: &Path) -> Vec<String> {
        let groups = match &user.groups[..] {
            [] => vec!["--clear-groups".to_owned()],
            groups => {
                let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
                vec!["--groups".to_owned(), groups.join(",")]
            }
        };
        let mut argv = self.before(user.uid, user.gid, &groups, &[]);
        argv.extend(["sh".to_owned(), script.display().to_string()]);
        argv
    }

    /// Program and arguments for a proxy: as its own user where that is possible, and never with
    /// more rights than it starts with.
    pub fn proxy(&self, proxy: &Proxy, program: &Path) -> Vec<String> {
        let groups = ["--clear-groups".to_owned()];
        let more = ["--no-new-privs".to_owned()];
        let mut argv = self.before(PROXY_UID, PROXY_UID, &groups, &more);
        argv.push(program.display().to_string());
        argv.extend(proxy.args.iter().cloned());
        argv
    }

    fn before(&self, uid: u32, gid: u32, groups: &[String], more: &[String]) -> Vec<String> {
        let mut argv = Vec::new();
        if let Some(namespace) = &self.namespace {
            argv.extend(["ip", "netns", "exec", namespace].map(str::to_owned));
        }
        if self.has_setpriv {
            argv.extend(["setpriv", "--pdeathsig", "TERM"].map(str::to_owned));
            argv.extend_from_slice(more);
            if self.is_root {
                argv.extend(["--reuid".to_owned(), uid.to_string()]);
                argv.extend(["--regid".to_owned(), gid.to_string()]);
                argv.extend_from_slice(groups);
            }
            argv.push("--".into());
        }
        argv
    }
}

/// The shell script that becomes the application.
pub fn script(application: &Application) -> String {
    let Application { argv, env, cwd, umask } = application;
    let mut out = format!("umask {umask:03o}\ncd {} || exit 126\n", quoted(&cwd.to_string_lossy()));
    let mut words = Vec::new();
    for (name, value) in env {
        if is_shell_name(name) {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "export {name}={}", quoted(value));
        } else {
            words.push(quoted(&format!("{name}={value}")));
        }
    }
    if !words.is_empty() {
        words.insert(0, "/usr/bin/env".into());
    }
    words.extend(argv.iter().map(|word| quoted(word)));
    let _ = writeln!(out, "exec {}", words.join(" "));
    out
}

/// Whether a shell can hold a variable of that name (POSIX, Shell Command Language, 3.235).
fn is_shell_name(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins_well = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
    is_word && begins_well && !SHELL_OWN.contains(&name)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
