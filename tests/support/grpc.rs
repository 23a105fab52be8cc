//! A real gRPC server, and a native client: those of grpcio, installed once into a folder that is
//! named by what is in the lock file.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

use super::{read, root};

const LOCK: &str = "tests/grpc.txt";

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    child: Child,
    port: u16,
    /// Where its generated code is, and `ledger.binpb`.
    out: PathBuf,
}

impl Server {
    /// Starts one. None if it cannot be had, which is said.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Starts the next version in the place of one that has ended; it has one more service.
    pub(crate) fn next_version(url: &str) -> Self {
        let port = url.rsplit(':').next().unwrap();
        Self::start_with(&[port, "audit"]).unwrap()
    }

    fn start_with(arguments: &[&str]) -> Option<Self> {
        let packages = packages()?;
        let mut child = python(packages)
            .arg(root().join("tests/grpc/server.py"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (port, out) = line.trim().split_once(' ').unwrap();
        Some(Self { child, port: port.parse().unwrap(), out: out.into() })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The field that says so of an upstream.
    pub(crate) fn written(&self) -> String {
        format!("url: {}", self.url())
    }

    /// The descriptors of its services, as protoc has written them.
    pub(crate) fn descriptors(&self) -> PathBuf {
        self.out.join("ledger.binpb")
    }

    /// Runs the native client against an address, and says what it saw.
    pub(crate) fn native(&self, address: &str) -> Value {
        let client = root().join("tests/grpc/client.py");
        let packages = packages().unwrap();
        let ran = python(packages).arg(client).arg(address).arg(&self.out).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        serde_json::from_slice(&ran.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.out));
    }
}

fn python(packages: &Path) -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// The folder of the packages, installed if they are not there.
fn packages() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            install().inspect_err(|why| println!("without {LOCK} this is skipped: {why}")).ok()
        })
        .as_deref()
}

fn install() -> Result<PathBuf, String> {
    let key = read(LOCK).bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folder = root().join(format!(".cache/grpc-{key:016x}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    let fresh = folder.with_extension(format!("new-{}", std::process::id()));
    let ran = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary", ":all:", "--require-hashes", "-r"])
        .arg(root().join(LOCK))
        .arg("--target")
        .arg(&fresh)
        .output()
        .map_err(|error| format!("python3: {error}"))?;
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
    }
    // Whoever comes second finds it there.
    if fs::rename(&fresh, &folder).is_err() {
        drop(fs::remove_dir_all(&fresh));
    }
    Ok(folder)
}
