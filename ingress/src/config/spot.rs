//! A spot in a configuration: what checks point at, and where what they find is gathered.

use std::collections::HashSet;

use super::{
    node::{Kind, Node, Place, below},
    problem::Problem,
};

/// A field or item: its file, its path, its place, and its value if one is written.
#[derive(Clone, Debug)]
pub(super) struct Spot<'a> {
    pub(super) file: &'a str,
    pub(super) path: String,
    pub(super) at: Place,
    pub(super) node: Option<&'a Node>,
}

/// All that was found, in the order in which it was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// Nodes that were complained of and are no longer looked at.
    pub(super) pruned: HashSet<usize>,
}

impl<'a> Spot<'a> {
    /// The top of a file.
    pub(super) fn top(file: &'a str, node: &'a Node) -> Self {
        Self { file, path: String::new(), at: node.at, node: Some(node) }
    }

    /// The value of a field. Where it is not written, the mapping that it is missing from.
    pub(super) fn field(&self, key: &str) -> Self {
        let mut path = self.path.clone();
        below(&mut path, key);
        let node = self.node.and_then(|node| node.entry(key)).map(|entry| &entry.value);
        Self { file: self.file, path, at: node.map_or(self.at, |node| node.at), node }
    }

    /// The field's name, for what should not be written at all.
    pub(super) fn key(&self, key: &str) -> Self {
        let at = self.node.and_then(|node| node.entry(key)).map_or(self.at, |entry| entry.at);
        Self { at, ..self.field(key) }
    }

    /// The value below this one by a path such as `url[1]`. What is not written is left out.
    pub(super) fn below(&self, path: &str) -> Self {
        let mut spot = self.clone();
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            spot = match step.strip_suffix(']') {
                Some(index) => match index.parse().ok().and_then(|index| spot.item(index)) {
                    Some(item) => item,
                    None => return spot,
                },
                None => spot.field(step),
            };
        }
        spot
    }

    /// Whether something is written for this field, be it right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.node.is_some_and(|node| node.entry(key).is_some())
    }

    /// The items of a list that were not pruned. What is no list is its own only item, as a list
    /// of one may be written without brackets.
    pub(super) fn items(&self, report: &Report) -> Vec<Self> {
        match self.node.map(|node| &node.kind) {
            Some(Kind::List(items)) => (0..items.len())
                .filter(|&index| !report.pruned.contains(&items[index].id))
                .filter_map(|index| self.item(index))
                .collect(),
            _ => vec![self.clone()],
        }
    }

    /// The fields of a mapping, pruned or not.
    pub(super) fn fields(&self) -> Vec<(&'a str, Self)> {
        let entries = self.node.map_or(&[][..], Node::entries);
        entries.iter().map(|entry| (entry.key.as_str(), self.field(&entry.key))).collect()
    }

    /// `file:line:column`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}:{}", self.file, self.at.line, self.at.column)
    }

    fn item(&self, index: usize) -> Option<Self> {
        let Kind::List(items) = &self.node?.kind else { return None };
        let node = items.get(index)?;
        let path = format!("{}[{index}]", self.path);
        Some(Self { file: self.file, path, at: node.at, node: Some(node) })
    }

    fn problem(&self, message: String, remedy: String) -> Problem {
        Problem {
            file: self.file.to_owned(),
            line: self.at.line,
            column: self.at.column,
            path: self.path.clone(),
            message,
            remedy,
        }
    }
}

impl Report {
    /// Notes what is wrong, and what to write instead.
    pub(super) fn error(
        &mut self,
        spot: &Spot<'_>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(spot.problem(message.into(), remedy.into()));
    }

    /// Notes what is wrong in the words of a parser, which says what to write after a `;`.
    pub(super) fn said(&mut self, spot: &Spot<'_>, text: impl std::fmt::Display) {
        let text = text.to_string();
        let (message, remedy) = text.split_once("; ").unwrap_or((&text, ""));
        self.error(spot, message, remedy);
    }

    /// Notes what can be meant so, but probably is not.
    pub(super) fn warn(
        &mut self,
        spot: &Spot<'_>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.warnings.push(spot.problem(message.into(), remedy.into()));
    }

    /// No longer looks at the spot: what follows from it being wrong is not worth saying.
    pub(super) fn prune(&mut self, spot: &Spot<'_>) {
        if let Some(node) = spot.node {
            self.pruned.insert(node.id);
        }
    }
}
