//! Programs that tests and benchmarks need beside the toolchain. What is missing is installed with
//! apt-get, without its service being started.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::process;

/// A program and the Debian package that holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// The program's name.
    pub(crate) program: &'static str,
    /// The package's name.
    pub(crate) package: &'static str,
}

/// A Debian package's post-install script asks this policy whether it may start a service. Ours
/// says no, so that a broker of the machine's own does not appear on the default port.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=300 update
apt-get -q -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "$@"
"#;

/// Installs what is missing; does nothing if all is there.
pub(crate) fn ensure(tools: &[Tool]) -> Result<()> {
    let missing: Vec<_> =
        tools.iter().filter(|tool| process::find(tool.program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs = missing.iter().map(|tool| tool.program).collect::<Vec<_>>().join(", ");
    let packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    if process::find("apt-get").is_none() {
        bail!("{programs} missing, and there is no apt-get here: install it by hand");
    }
    let mut install = match as_root() {
        Some(command) => command,
        None => bail!(
            "{programs} missing; run `sudo apt-get install {}` and try again",
            packages.join(" ")
        ),
    };
    eprintln!("installing {} with apt-get", packages.join(", "));
    install.args(["sh", "-c", INSTALL, "sh"]).args(packages);
    // Not by `process::run`: nobody wants to read the script.
    match install.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("apt-get ended with {status}; {programs} still missing"),
        Err(fault) => bail!("cannot start apt-get: {fault}"),
    }
}

/// A prefix that makes a command run as root without a question, if there is one.
fn as_root() -> Option<Command> {
    let id = process::output(Command::new("id").arg("-u")).ok()?;
    if id.trim() == "0" {
        return Some(Command::new("env"));
    }
    process::output(Command::new("sudo").args(["-n", "true"])).ok()?;
    let mut sudo = Command::new("sudo");
    sudo.arg("-n");
    Some(sudo)
}
