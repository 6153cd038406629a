//! Programs that are run to their end.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::wait;

/// How long a program may run; generous, because it is only used up by failures.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a program with nothing to read, and gives what it printed and how it ended.
///
/// # Panics
///
/// When it cannot be started, or has not ended within a minute; it is killed then, with what it
/// has started.
pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.process_group(0).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let ended = wait::within(DEADLINE, || {
        let has_read = stdout.is_finished() && stderr.is_finished();
        has_read.then(|| child.try_wait().expect("it is our child")).flatten()
    });
    let Some(status) = ended else {
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.wait();
        panic!("{command:?} does not end");
    };
    let joined = |reader: JoinHandle<Vec<u8>>| reader.join().expect("a reader does not panic");
    Output { status, stdout: joined(stdout), stderr: joined(stderr) }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("the output is piped");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_was_printed_and_the_end() {
        let output = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]));
        assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.status.code(), Some(3));
    }
}
