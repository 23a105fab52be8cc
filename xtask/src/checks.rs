//! What CI looks at besides the tests.

use anyhow::Result;

use crate::{
    options::Options,
    process::{cargo, run},
    test,
};

/// Formats all code.
pub(crate) fn fmt(options: Options) -> Result<()> {
    options.done()?;
    run(&mut cargo(&["fmt", "--all"]))
}

/// Runs clippy over everything, warnings denied.
pub(crate) fn lint(options: Options) -> Result<()> {
    options.done()?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Builds our own documentation; a broken link fails.
pub(crate) fn doc(options: Options) -> Result<()> {
    options.done()?;
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Lets the tests that compare with a committed file write it instead.
pub(crate) fn bless(options: Options) -> Result<()> {
    options.done()?;
    run(cargo(&["test", "--workspace", "--lib", "--bins"]).env("BLESS", "1"))
}

/// All that CI does, in CI's order: the cheapest first.
pub(crate) fn check(options: Options) -> Result<()> {
    options.done()?;
    run(&mut cargo(&["fmt", "--all", "--", "--check"]))?;
    lint(Options::new(Vec::new()))?;
    doc(Options::new(Vec::new()))?;
    test::run(Options::new(Vec::new()))
}
