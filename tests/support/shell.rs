//! Commands that run to their end.

use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{gusset, root};

/// The longest that a command may take.
const AT_MOST: Duration = Duration::from_secs(30);

/// What a command has printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

impl Ran {
    /// Fails unless it ended with this code; gives itself back.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "out:\n{}\nerr:\n{}", self.out, self.err);
        self
    }
}

/// `gusset ARGS` at the top folder.
pub(crate) fn gusset_run(args: &[&str]) -> Ran {
    gusset_in(root(), args, &[])
}

/// `gusset ARGS` in a folder, with variables.
pub(crate) fn gusset_in(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(gusset());
    command
        .args(args)
        .current_dir(folder)
        .env_remove("GUSSET_ADMIN")
        .env_remove("GUSSET_TOKEN_FILE");
    run(command.envs(variables.iter().copied()))
}

/// A line as a person would paste it; `gusset` in it is the binary under test.
pub(crate) fn pasted(line: &str) -> Ran {
    let beside = gusset().parent().unwrap().to_string_lossy().into_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    run(command.args(["-c", line]).env("PATH", format!("{beside}:{path}")).current_dir(root()))
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, pid: u32) {
    Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
}

/// Runs a command to its end, or to the end of our patience.
pub(crate) fn run(command: &mut Command) -> Ran {
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let (done, is_done) = std::sync::mpsc::sync_channel::<()>(1);
    let watch = thread::spawn(move || {
        let began = Instant::now();
        if is_done.recv_timeout(AT_MOST).is_err() && began.elapsed() >= AT_MOST {
            signal("KILL", pid);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watch.join().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
