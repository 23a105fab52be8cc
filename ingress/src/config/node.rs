//! A file as a tree in which everything knows where it stands.

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

    /// What stands directly in this node.
    pub(super) fn children(&self) -> impl Iterator<Item = &Self> {
        let items = match &self.kind {
            Kind::List(items) => items.as_slice(),
            Kind::Map(_) | Kind::Scalar { .. } => &[],
        };
        items.iter().chain(self.entries().iter().map(|entry| &entry.value))
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

    /// How many nodes this is, itself included.
    pub(super) fn size(&self) -> usize {
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

/// Adds a key to a path.
pub(super) fn below(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}
