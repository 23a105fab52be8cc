//! Other programs: where they are, running them in plain sight, ending them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// The repository's top folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// Where downloads and scratch files of the chores live; git ignores it.
pub(crate) fn cache(below: &str) -> Result<PathBuf> {
    let folder = root().join(".cache").join(below);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// A cargo command at the top folder.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// A program that cargo has built in `profile` (the folder's name: `debug` for the dev profile).
/// This program itself lies in the same target folder, so that none of cargo's settings for it
/// has to be read.
pub(crate) fn built(profile: &str, name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find this program")?;
    let target = own.ancestors().nth(2).context("this program lies in no target folder")?;
    let path = target.join(profile).join(name);
    ensure!(path.is_file(), "{} is not there although it was built", path.display());
    Ok(path)
}

/// Runs a command in plain sight; its failure is ours.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// What a command prints to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let done = command.output().with_context(|| format!("cannot start `{line}`"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "`{line}` ended with {}: {}", done.status, said.trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A program in `PATH` or in the folders of system programs, which are not in everybody's path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A program that runs beside this one and ends with it.
#[derive(Debug)]
pub(crate) struct Beside(Child);

impl Beside {
    /// Starts it with nothing to read; what it prints goes where `command` says.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let line = shown(command);
        let child = command.stdin(Stdio::null()).spawn();
        Ok(Self(child.with_context(|| format!("cannot start `{line}`"))?))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Fails if it has ended.
    pub(crate) fn alive(&mut self) -> Result<()> {
        let ended = self.0.try_wait().context("cannot ask for its state")?;
        ensure!(ended.is_none(), "it has ended with {}", ended.unwrap_or_default());
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Asked first, so that a program with children of its own ends them too.
        signal("TERM", self.id());
        for _ in 0..40 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            pause(50);
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Sends a signal. A process that has ended in the meantime is none of our worries.
pub(crate) fn signal(name: &str, pid: u32) {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("kill -{name} {pid}")]).stderr(Stdio::null());
    drop(shell.status());
}

/// Waits. There is no runtime here that could be blocked.
#[expect(clippy::disallowed_methods, reason = "there is no runtime here")]
pub(crate) fn pause(milliseconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
}
