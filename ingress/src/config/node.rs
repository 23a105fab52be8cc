//! YAML as a tree in which everything knows where it stands.
//!
//! A file is untrusted: its size, its depth and the number of its nodes (each alias counts for all
//! that it stands for) have bounds, so that a file of a few lines cannot fill the memory.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::{File, problem::Problem};

/// The largest file that is read.
pub(super) const FILE_BYTES_MAX: usize = 4 << 20;
/// The most nodes that a file may have, aliases expanded.
const NODES_MAX: usize = 500_000;
/// The deepest that a file may nest.
const DEPTH_MAX: usize = 64;

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Unlike that of any other node of the load.
    pub(super) id: usize,
    pub(super) at: Place,
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A single value, its escapes and folds resolved. Unquoted, it may be a number and such.
    Scalar { text: String, plain: bool },
    /// A mapping in the order of the file. No key is there twice.
    Map(Vec<Entry>),
    /// A list.
    List(Vec<Node>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Place,
    pub(super) value: Node,
}

/// What an unquoted scalar is by YAML 1.2's core schema.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Core {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

impl Node {
    /// The entry of a mapping.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a mapping; none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar { .. } | Kind::List(_) => &[],
        }
    }

    /// Whether nothing is written here: `key:` and no more, or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if core(text) == Core::Null)
    }

    /// `{name}` without quotes is a mapping of one key without a value to YAML, and probably was
    /// meant as a placeholder.
    pub(super) fn placeholder(&self) -> Option<&str> {
        match self.entries() {
            [only] if only.value.is_null() && only.value.text() == Some("") => Some(&only.key),
            _ => None,
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Map(_) | Kind::List(_) => None,
        }
    }

    fn size(&self) -> usize {
        match &self.kind {
            Kind::Scalar { .. } => 1,
            Kind::Map(entries) => 1 + entries.iter().map(|e| e.value.size()).sum::<usize>(),
            Kind::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
        }
    }
}

/// Reads an unquoted scalar (YAML 1.2.2, section 10.3.2).
pub(super) fn core(text: &str) -> Core {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Core::Null,
        "true" | "True" | "TRUE" => return Core::Bool(true),
        "false" | "False" | "FALSE" => return Core::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Core::Float(f64::NAN),
        _ => {}
    }
    let (minus, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Core::Float(if minus { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let in_base = |digits: &str, base| {
        let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
        all.then(|| i128::from_str_radix(digits, base).ok()).flatten().map(Core::Int)
    };
    if let Some(digits) = text.strip_prefix("0o") {
        return in_base(digits, 8).unwrap_or(Core::Text);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return in_base(digits, 16).unwrap_or(Core::Text);
    }
    if let Some(Core::Int(number)) = in_base(unsigned, 10) {
        return Core::Int(if minus { -number } else { number });
    }
    // Rust also reads "inf", "nan" and "infinity", which are words to YAML.
    let number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.ends_with(|c: char| c.is_ascii_digit() || c == '.');
    match text.parse() {
        Ok(float) if number => Core::Float(float),
        _ => Core::Text,
    }
}

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

/// Adds a key to a path.
pub(super) fn below(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
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
