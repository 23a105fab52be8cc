//! Reads YAML into a tree.
//!
//! A file is untrusted: its size, its depth and the number of its nodes (each alias counts for all
//! that it stands for) have bounds, so that a file of a few lines cannot fill the memory.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::{
    File,
    node::{Entry, Kind, Node, Place, below},
    problem::Problem,
};

/// The largest file that is read.
pub(super) const FILE_BYTES_MAX: usize = 4 << 20;
/// The most nodes that a file may have, aliases expanded.
const NODES_MAX: usize = 500_000;
/// The deepest that a file may nest.
const DEPTH_MAX: usize = 64;

/// Reads one file. A file of nothing but comments is no node. Nodes are numbered from `next_id` on.
///
/// Errors of syntax, and of bounds, stop at themselves; the others (a key twice, and such) are put
/// into `problems`, and what is left of the file goes on.
pub(super) fn read(
    file: &File,
    next_id: &mut usize,
    problems: &mut Vec<Problem>,
) -> Result<Option<Node>, Problem> {
    if file.text.len() > FILE_BYTES_MAX {
        let message = format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(problem(file, Place { line: 1, column: 1 }, "", message, "split it"));
    }
    let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
    let mut tree = Tree {
        file,
        next_id,
        problems,
        open: Vec::new(),
        named: HashMap::new(),
        count: 0,
        whole: None,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| syntax(file, text, &error))?;
        tree.take(event, span)?;
    }
    Ok(tree.whole)
}

/// A tree in the making.
struct Tree<'a> {
    file: &'a File,
    next_id: &'a mut usize,
    problems: &'a mut Vec<Problem>,
    /// Mappings and lists that have begun and not ended.
    open: Vec<Open>,
    /// What anchors stand for.
    named: HashMap<usize, Node>,
    /// Nodes made so far.
    count: usize,
    whole: Option<Node>,
}

/// A mapping or list that has begun.
struct Open {
    at: Place,
    anchor: usize,
    filled: Filled,
}

enum Filled {
    Map { entries: Vec<Entry>, seen: HashMap<String, Place>, key: Option<Key> },
    List(Vec<Node>),
}

/// A key whose value is still to come.
enum Key {
    Good(String, Place),
    /// Already complained of, so its value is read and forgotten.
    Bad,
}

impl Tree<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let at = Place { line: span.start.line(), column: span.start.col() + 1 };
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => match self.whole {
                None => Ok(()),
                Some(_) => Err(self.stop(
                    at,
                    "a second document begins here",
                    "write it into a file of its own",
                )),
            },
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.is_some(), at);
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let node = self.node(at, Kind::Scalar { text: text.into_owned(), plain })?;
                self.put(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(tag.is_some(), at);
                self.begin(Open { at, anchor, filled: Filled::List(Vec::new()) })
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(tag.is_some(), at);
                let filled = Filled::Map { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.begin(Open { at, anchor, filled })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let kind = match open.filled {
                    Filled::Map { entries, .. } => Kind::Map(entries),
                    Filled::List(items) => Kind::List(items),
                };
                let node = self.node(open.at, kind)?;
                self.put(node, open.anchor)
            }
            Event::Alias(anchor) => {
                let Some(named) = self.named.get(&anchor) else {
                    return Err(self.stop(
                        at,
                        "an alias inside of what it stands for",
                        "write it out",
                    ));
                };
                let mut node = named.clone();
                self.made(node.size(), at)?;
                self.renumber(&mut node);
                self.put(node, 0)
            }
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), Problem> {
        if self.open.len() == DEPTH_MAX {
            let message = format!("nests deeper than {DEPTH_MAX} levels");
            return Err(self.stop(open.at, message, ""));
        }
        self.open.push(open);
        Ok(())
    }

    fn node(&mut self, at: Place, kind: Kind) -> Result<Node, Problem> {
        self.made(1, at)?;
        *self.next_id += 1;
        Ok(Node { id: *self.next_id, at, kind })
    }

    fn made(&mut self, nodes: usize, at: Place) -> Result<(), Problem> {
        self.count += nodes;
        if self.count <= NODES_MAX {
            return Ok(());
        }
        let message = format!("the file has more than {NODES_MAX} values, its aliases expanded");
        Err(self.stop(at, message, "use fewer aliases, or split the file"))
    }

    /// Puts a finished node into what is open, as key or value.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.made(node.size(), node.at)?;
            self.named.insert(anchor, node.clone());
        }
        let path = self.path();
        let Some(open) = self.open.last_mut() else {
            self.whole = Some(node);
            return Ok(());
        };
        let (entries, seen, key) = match &mut open.filled {
            Filled::List(items) => {
                items.push(node);
                return Ok(());
            }
            Filled::Map { entries, seen, key } => (entries, seen, key),
        };
        match key.take() {
            Some(Key::Good(key, at)) => entries.push(Entry { key, at, value: node }),
            Some(Key::Bad) => {}
            None => {
                let at = node.at;
                let complaint = match node.kind {
                    Kind::Scalar { text, plain: true } if text == "<<" => (
                        "merge keys (`<<`) are not part of YAML 1.2".to_owned(),
                        "write the fields out, or name what is shared under `policies`",
                    ),
                    Kind::Scalar { text, .. } => match seen.get(&text) {
                        None => {
                            seen.insert(text.clone(), at);
                            *key = Some(Key::Good(text, at));
                            return Ok(());
                        }
                        Some(first) => (
                            format!("`{text}` is here twice, first at line {}", first.line),
                            "write each field once",
                        ),
                    },
                    Kind::Map(_) | Kind::List(_) => (
                        "a key is a text".to_owned(),
                        "quote a value with a placeholder, such as \"{rest}\"",
                    ),
                };
                *key = Some(Key::Bad);
                self.problems.push(problem(self.file, at, path, complaint.0, complaint.1));
            }
        }
        Ok(())
    }

    fn no_tag(&mut self, tagged: bool, at: Place) {
        if tagged {
            let path = self.path();
            let remedy = "quote the value if it is a text, or write it without a tag";
            self.problems.push(problem(self.file, at, path, "tags (`!…`) are not read", remedy));
        }
    }

    fn renumber(&mut self, node: &mut Node) {
        *self.next_id += 1;
        node.id = *self.next_id;
        match &mut node.kind {
            Kind::Scalar { .. } => {}
            Kind::Map(entries) => entries.iter_mut().for_each(|e| self.renumber(&mut e.value)),
            Kind::List(items) => items.iter_mut().for_each(|item| self.renumber(item)),
        }
    }

    /// The way to what is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.filled {
                Filled::List(items) => path.push_str(&format!("[{}]", items.len())),
                Filled::Map { key: Some(Key::Good(key, _)), .. } => below(&mut path, key),
                Filled::Map { .. } => {}
            }
        }
        path
    }

    fn stop(&self, at: Place, message: impl Into<String>, remedy: &str) -> Problem {
        problem(self.file, at, self.path(), message, remedy)
    }
}

fn problem(
    file: &File,
    at: Place,
    path: impl Into<String>,
    message: impl Into<String>,
    remedy: &str,
) -> Problem {
    Problem {
        file: file.name.clone(),
        line: at.line,
        column: at.column,
        path: path.into(),
        message: message.into(),
        remedy: remedy.to_owned(),
    }
}

/// Says what YAML's own words mean where they come from a common slip.
fn syntax(file: &File, text: &str, error: &ScanError) -> Problem {
    let at = Place { line: error.marker().line(), column: error.marker().col() + 1 };
    let line = text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
    let here: String = line.chars().skip(at.column - 1).collect();
    let word: String =
        here.chars().take_while(|c| !c.is_whitespace() && !matches!(c, ',' | ']' | '}')).collect();
    let (message, remedy) = if error.info().contains("unknown anchor") {
        (
            "`*` begins an alias of YAML, and there is no such anchor".to_owned(),
            format!("quote it: \"{word}\""),
        )
    } else if line.starts_with(|c: char| c.is_whitespace())
        && line.trim_start_matches(' ').starts_with('\t')
    {
        ("a tab cannot indent".to_owned(), "write spaces".to_owned())
    } else if let Some(value) = bare_placeholder(line) {
        (error.info().to_owned(), format!("quote it: \"{value}\""))
    } else if here.starts_with(['@', '`', '%']) {
        (
            format!("a value cannot begin with `{}`", &word.chars().take(1).collect::<String>()),
            format!("quote it: \"{word}\""),
        )
    } else {
        (error.info().to_owned(), String::new())
    };
    problem(file, at, "", message, &remedy)
}

/// A value with an unquoted `{placeholder}` in a line that also has `{ }` or `[ ]` of YAML.
fn bare_placeholder(line: &str) -> Option<String> {
    line.split([' ', ',', '[']).find_map(|word| {
        let (before, after) = word.split_once('{')?;
        let (name, _) = after.split_once('}')?;
        let bare = !before.is_empty() && !name.is_empty() && !word.contains(['"', '\'']);
        bare.then(|| {
            let opened = word.matches('{').count();
            let mut value = word.to_owned();
            while value.matches('}').count() > opened && value.ends_with('}') {
                value.pop();
            }
            value
        })
    })
}
