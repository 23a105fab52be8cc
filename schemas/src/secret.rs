//! Secrets are never literals in a configuration: they are named, and resolved when first used.

use std::{fmt, path::PathBuf, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a secret is: `{env: NAME}` or `{file: path}`. A file is read again when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Secret {
    /// The value of an environment variable.
    Env(String),
    /// The content of a file, without the line break at its end. A relative path starts at the
    /// folder of the configuration file.
    File(PathBuf),
}

/// A file that is no secret, such as a certificate: `{file: path}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// The path; a relative one starts at the folder of the configuration file.
    pub file: PathBuf,
}

/// The value of a secret. It never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Revealed(Arc<str>);

/// Why a secret cannot be had. Names where it was looked for, never what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoSecret(pub String);

/// Reads secrets and files. Only the binary knows how, so that nothing else touches the
/// environment or the disk.
pub trait Reveal: Send + Sync {
    /// The secret's value as it is now.
    ///
    /// # Errors
    /// [`NoSecret`] if the variable is not set or the file cannot be read.
    fn reveal(&self, secret: &Secret) -> Result<Revealed, NoSecret>;

    /// The content of a file that is no secret.
    ///
    /// # Errors
    /// [`NoSecret`] if the file cannot be read.
    fn read(&self, file: &FileRef) -> Result<Vec<u8>, NoSecret>;

    /// The same of a file that may be elsewhere: none if it is not there. Who cannot tell that from
    /// a file that cannot be read says the latter.
    ///
    /// # Errors
    /// [`NoSecret`] if the file is there and cannot be read.
    fn find(&self, file: &FileRef) -> Result<Option<Vec<u8>>, NoSecret> {
        self.read(file).map(Some)
    }
}

impl Revealed {
    /// Takes a value that must not be printed.
    #[must_use]
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Revealed(…)")
    }
}

/// Knows no secret: for tests and for what must not have any.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Reveal for NoSecrets {
    fn reveal(&self, _: &Secret) -> Result<Revealed, NoSecret> {
        Err(NoSecret("there are no secrets here".to_owned()))
    }

    fn read(&self, _: &FileRef) -> Result<Vec<u8>, NoSecret> {
        Err(NoSecret("there are no files here".to_owned()))
    }
}
