//! `cargo xtask dev`: from a fresh clone to a running gateway.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context, Result};

use crate::{options::Options, process};

/// Builds gusset and becomes `gusset dev`. It takes this program's place, so that Ctrl-C and the
/// exit code are its own.
pub(crate) fn run(options: Options) -> Result<()> {
    eprintln!("building gusset; the first time takes some minutes, afterwards it takes seconds");
    process::run(&mut process::cargo(&["build", "--package", "gateway"]))?;
    let gusset = process::built("debug", "gusset")?;
    let failed =
        Command::new(gusset).arg("dev").args(options.all()).current_dir(process::root()).exec();
    Err(failed).context("cannot start gusset")
}
