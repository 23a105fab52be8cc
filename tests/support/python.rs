//! Services in Python, over packages that `cargo xtask test` fetches.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::root;

/// A service. It ends with its value.
pub(crate) struct Python {
    child: Child,
    port: u16,
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where the packages are.
fn packages() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).find(|folder| folder.join("functions_framework/__init__.py").is_file())
}

impl Python {
    /// Runs a script of the tests, whose first line says on which port it listens. None, visibly,
    /// where its packages are not to be had.
    pub(crate) fn start(script: &str, args: &[&str]) -> Option<Self> {
        let Some(packages) = packages() else {
            println!(
                "SKIPPED: the Python packages are not in PATH; `cargo xtask test` fetches them"
            );
            return None;
        };
        let mut child = Command::new("python3")
            .arg(root().join("tests/platforms").join(script))
            .args(args)
            .env("PYTHONPATH", packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{script} said {line:?}"));
        Some(Self { child, port })
    }

    /// Its URL, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
