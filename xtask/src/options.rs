//! The arguments of a chore: `--name value` pairs, or everything as it is.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};

/// What was written after the chore's name.
#[derive(Debug)]
pub(crate) struct Options(Vec<String>);

impl Options {
    /// Takes the arguments.
    pub(crate) fn new(args: Vec<String>) -> Self {
        Self(args)
    }

    /// Everything, unread.
    pub(crate) fn all(self) -> Vec<String> {
        self.0
    }

    /// Takes `--name value` or `--name=value` out.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>> {
        let flag = format!("--{name}");
        let joined = format!("{flag}=");
        if let Some(at) = self.0.iter().position(|arg| arg.starts_with(&joined)) {
            return Ok(self.0.remove(at).strip_prefix(&joined).map(str::to_owned));
        }
        let Some(at) = self.0.iter().position(|arg| *arg == flag) else { return Ok(None) };
        self.0.remove(at);
        ensure!(at < self.0.len(), "{flag} wants a value");
        Ok(Some(self.0.remove(at)))
    }

    /// Takes a number out.
    pub(crate) fn number<T: FromStr>(&mut self, name: &str, default: T) -> Result<T> {
        match self.text(name)? {
            None => Ok(default),
            Some(text) => text.parse().ok().with_context(|| {
                format!("--{name} wants a number that is not negative, not {text:?}")
            }),
        }
    }

    /// Takes a list with commas out.
    pub(crate) fn list(&mut self, name: &str, default: &[&str]) -> Result<Vec<String>> {
        let owned = |text: &str| text.trim().to_owned();
        Ok(match self.text(name)? {
            None => default.iter().copied().map(owned).collect(),
            Some(text) => text.split(',').map(owned).collect(),
        })
    }

    /// Refuses what nobody has taken.
    pub(crate) fn done(self) -> Result<()> {
        ensure!(self.0.is_empty(), "does not know `{}`; see `cargo xtask help`", self.0.join(" "));
        Ok(())
    }
}
