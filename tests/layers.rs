//! What the house looks like: the layer table of docs/ARCHITECTURE.md holds, and so do the rules
//! about what may stand where.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::support::{read, root};

/// What a crate may use, by its name.
type Layers = BTreeMap<String, BTreeSet<String>>;

/// The table, as its rows say it.
fn table() -> Layers {
    let text = read("docs/ARCHITECTURE.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("| layer | crate |")).skip(2);
    let mut layers = Layers::new();
    let mut all = BTreeSet::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let names = |cell: &str| -> BTreeSet<String> {
            cell.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect()
        };
        let may_use = match cells[2] {
            "none" => BTreeSet::new(),
            "all" => all.clone(),
            some => names(some),
        };
        for name in names(cells[1]) {
            layers.insert(name, may_use.clone());
        }
        all.extend(names(cells[1]));
    }
    assert!(!layers.is_empty(), "docs/ARCHITECTURE.md has no layer table");
    layers
}

/// The crates of the workspace, by their folders.
fn members() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let (_, list) = manifest.split_once("members = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    list.split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Our own crates that a manifest names under `[dependencies]`.
fn uses(manifest: &str, members: &[String]) -> BTreeSet<String> {
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]" {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if members.iter().any(|member| member == name) {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

/// Every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_layer_table_and_the_manifests_agree() {
    let (table, members) = (table(), members());
    let named: BTreeSet<_> = table.keys().cloned().collect();
    assert_eq!(named, members.iter().cloned().collect(), "the table and the workspace differ");
    for member in &members {
        let used = uses(&read(format!("{member}/Cargo.toml")), &members);
        let beyond: Vec<_> = used.difference(&table[member]).collect();
        assert!(beyond.is_empty(), "{member} may not use {beyond:?}; see docs/ARCHITECTURE.md");
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace_and_says_what_it_is() {
    for member in members() {
        let manifest = read(format!("{member}/Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{member}");
        assert!(manifest.contains("\ndescription = \""), "{member} has no description");
    }
}

#[test]
fn no_crate_is_a_drawer_for_what_has_no_place() {
    for member in members() {
        assert!(
            !["common", "utils", "util", "core", "shared", "helpers"].contains(&member.as_str())
        );
    }
}

#[test]
fn every_source_file_says_what_it_is_in_its_first_line() {
    for member in members() {
        for file in sources(&root().join(&member)) {
            let text = fs::read_to_string(&file).unwrap();
            let is_tests = file.ends_with("tests.rs")
                || file.components().any(|part| part.as_os_str() == "tests");
            assert!(
                text.starts_with("//!") || is_tests,
                "{} does not start with a module sentence",
                file.display()
            );
        }
    }
}

/// The code of a file without its tests and without comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Whether a file is compiled for tests alone: it lies in a folder `tests`, or the module above
/// names it so.
fn is_test(file: &Path) -> bool {
    if file.components().any(|part| part.as_os_str() == "tests") {
        return true;
    }
    let (folder, name) = (file.parent().unwrap(), file.file_stem().unwrap().to_string_lossy());
    let above = [folder.join("mod.rs"), folder.join("lib.rs"), folder.with_extension("rs")];
    let named = format!("#[cfg(test)]\nmod {name};");
    above.iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(&named)))
}

/// The files of our product's crates in whose code a text stands.
fn files_with(text: &str) -> BTreeSet<String> {
    let crates = ["schemas", "policy", "discovery", "invokers", "ingress", "admin", "gateway"];
    crates
        .iter()
        .flat_map(|name| sources(&root().join(name).join("src")))
        .filter(|file| !is_test(file) && code(file).contains(text))
        .map(|file| file.strip_prefix(root()).unwrap().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn only_one_file_names_a_status_for_a_class() {
    for class in ["Class::RateLimited", "Class::ConnectFailed", "Class::Timeout"] {
        let mapping: Vec<_> = files_with(&format!("{class} => StatusCode"))
            .union(&files_with(&format!("{class} =>  StatusCode")))
            .cloned()
            .collect();
        assert!(mapping.iter().all(|file| file == "ingress/src/problem.rs"), "{mapping:?}");
    }
    assert!(files_with("Class::Overloaded").contains("ingress/src/problem.rs"));
}

#[test]
fn only_the_binary_reads_arguments_and_the_environment() {
    for word in ["env::args", "env::var", "env::vars"] {
        let files = files_with(word);
        assert!(files.iter().all(|file| file.starts_with("gateway/")), "{word} in {files:?}");
    }
}

#[test]
fn no_queue_is_without_a_bound() {
    for word in ["unbounded_channel", "mpsc::channel()", "unbounded()"] {
        assert!(files_with(word).is_empty(), "{word} in {:?}", files_with(word));
    }
}
