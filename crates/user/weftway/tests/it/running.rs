//! A process of the real binary that is no gateway.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use weft_testkit::wait;

use crate::common::BINARY;

/// A process that ends with this value, and what it logs.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

// === impl Running ===

impl Running {
    pub(crate) fn start(arguments: &[&str], log: PathBuf) -> Self {
        let file = File::create(&log).unwrap();
        let mut command = Command::new(BINARY);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap(), log }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn wait_logged(&self, text: &str) {
        let found = wait::within(wait::DEADLINE, || self.log().contains(text).then_some(()));
        assert!(found.is_some(), "{text:?} is missing in\n{}", self.log());
    }

    /// Ends it as it should end.
    pub(crate) fn end(self) {
        let (code, said) = self.signal(Signal::TERM);
        assert_eq!(code, 0, "{said}");
    }

    /// How it ends by a signal, and what it has said.
    pub(crate) fn signal(self, signal: Signal) -> (i32, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.wait()
    }

    /// How it ends by itself, and what it has said.
    pub(crate) fn wait(mut self) -> (i32, String) {
        let ended = wait::until("its end", || self.child.try_wait().unwrap());
        (ended.code().expect("it ends by itself"), self.log())
    }
}

impl Drop for Running {
    /// As a machine that loses its power.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
