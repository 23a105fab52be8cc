//! What is said of bad files. Each file of the folder `bad` ends in the lines that are expected,
//! as comments; with `BLESS=1` in the environment they are written anew.

use std::path::Path;

use super::{Offer, file, lines, parse};

/// Where the files are.
pub(super) fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/bad")
}

#[test]
fn each_mistake_is_said_with_its_place_and_what_to_write() {
    let folder = folder();
    let mut wrong = String::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let whole = std::fs::read_to_string(&path).unwrap();
        let expected: Vec<&str> =
            whole.lines().filter_map(|line| line.strip_prefix("# => ")).collect();
        let text: String =
            whole.split_inclusive('\n').filter(|line| !line.starts_with("# => ")).collect();
        let problems = parse(&[file("bad.yaml", &text)], &Offer::default())
            .expect_err(&format!("{} is bad", path.display()));
        let said: Vec<String> =
            lines(&problems).iter().map(|line| line.replacen("bad.yaml:", "", 1)).collect();
        if std::env::var_os("BLESS").is_some() {
            let blessed: String = said.iter().map(|line| format!("# => {line}\n")).collect();
            std::fs::write(&path, text + &blessed).unwrap();
        } else if said != expected {
            wrong += &format!("\n{}\n{}\n", path.display(), said.join("\n"));
        }
        count += 1;
    }
    assert!(count > 20, "the folder has {count} files");
    assert!(wrong.is_empty(), "{wrong}");
}
