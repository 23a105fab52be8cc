//! What the pages say is true: their configurations load, and their links lead somewhere.

use std::{fs, path::PathBuf};

use crate::support::{files, read, root, shell};

/// The pages at the top and every page of docs/.
fn pages() -> Vec<PathBuf> {
    let mut pages =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|page| root().join(page)).to_vec();
    pages.extend(files("docs", ".md"));
    pages.extend(files("docs/decisions", ".md"));
    pages
}

/// The blocks of this language in a page, each with the line on which it starts.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    let mut wanted = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            inside = !inside;
            wanted = inside && fence.trim() == language;
            if wanted {
                found.push((number + 2, String::new()));
            }
        } else if wanted {
            let block = &mut found.last_mut().unwrap().1;
            block.push_str(line);
            block.push('\n');
        }
    }
    found
}

#[test]
fn every_whole_configuration_of_the_pages_passes_check() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for page in pages() {
        for (line, block) in blocks(&read(&page), "yaml") {
            if !block.lines().any(|line| line.trim_end() == "version: 1") {
                continue;
            }
            let file = folder.path().join("gateway.yaml");
            fs::write(&file, &block).unwrap();
            let ran = shell::gusset_run(&["check", "-c", file.to_str().unwrap()]);
            assert_eq!(ran.code, Some(0), "{}:{line}:\n{}{}", page.display(), ran.out, ran.err);
            count += 1;
        }
    }
    assert!(count >= 6, "only {count} configurations were found");
}

#[test]
fn every_relative_link_of_the_pages_leads_to_a_file() {
    for page in pages() {
        let text = read(&page);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = page.parent().unwrap().join(target);
            assert!(file.exists(), "{} links to {target}, which is not there", page.display());
        }
    }
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = read("README.md");
    for page in files("docs", ".md") {
        let path = page.strip_prefix(root()).unwrap().display().to_string();
        assert!(readme.contains(&format!("]({path})")), "README.md has no link to {path}");
    }
}

#[test]
fn every_file_that_the_architecture_names_is_there() {
    let text = read("docs/ARCHITECTURE.md");
    let named = text.split('`').skip(1).step_by(2).filter(|word| {
        word.contains('/') && (word.ends_with(".rs") || word.ends_with('/')) && !word.contains(' ')
    });
    for path in named {
        assert!(root().join(path).exists(), "docs/ARCHITECTURE.md names {path}");
    }
}

#[test]
fn the_readme_has_the_two_commands() {
    let readme = read("README.md");
    for command in ["cargo xtask dev", "cargo xtask test"] {
        assert!(readme.contains(command), "{command}");
    }
}
