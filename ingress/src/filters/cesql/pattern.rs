//! The pattern of LIKE: `%` is any number of characters, `_` is one, and a backslash before either
//! makes it stand for itself.
//!
//! A pattern is cut at each `%` into chunks. The first must start the text, the last must end it,
//! and each between is taken where it first fits, so that nothing is ever tried twice.

/// A pattern, ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    head: Chunk,
    middle: Vec<Chunk>,
    /// None: there was no `%`, and the head is the whole text.
    tail: Option<Chunk>,
}

/// What stands between two `%`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Chunk(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Text(String),
    /// Any one character.
    One,
}

impl Pattern {
    /// Reads a pattern; every text is one.
    pub(super) fn new(written: &str) -> Self {
        let mut chunks = Vec::new();
        let mut chunk = Chunk::default();
        let mut chars = written.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '%' => chunks.push(std::mem::take(&mut chunk)),
                '_' => chunk.0.push(Step::One),
                '\\' => chunk.push(chars.next_if(|next| matches!(next, '%' | '_')).unwrap_or(c)),
                c => chunk.push(c),
            }
        }
        if chunks.is_empty() {
            return Self { head: chunk, middle: Vec::new(), tail: None };
        }
        let head = chunks.remove(0);
        chunks.retain(|chunk| !chunk.0.is_empty());
        Self { head, middle: chunks, tail: Some(chunk) }
    }

    /// Decides whether a whole text fits.
    pub(super) fn fits(&self, text: &str) -> bool {
        let Some(rest) = self.head.at_start(text) else { return false };
        let Some(tail) = &self.tail else { return rest.is_empty() };
        let Some(rest) = tail.at_end(rest) else { return false };
        self.middle.iter().try_fold(rest, |rest, chunk| chunk.somewhere(rest)).is_some()
    }
}

impl Chunk {
    fn push(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Step::Text(text)) => text.push(c),
            _ => self.0.push(Step::Text(c.to_string())),
        }
    }

    /// What is left behind the chunk.
    fn at_start<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.0.iter().try_fold(text, |rest, step| match step {
            Step::Text(wanted) => rest.strip_prefix(wanted.as_str()),
            Step::One => {
                let mut chars = rest.chars();
                chars.next().map(|_| chars.as_str())
            }
        })
    }

    /// What is left before the chunk.
    fn at_end<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.0.iter().rev().try_fold(text, |rest, step| match step {
            Step::Text(wanted) => rest.strip_suffix(wanted.as_str()),
            Step::One => {
                let mut chars = rest.chars();
                chars.next_back().map(|_| chars.as_str())
            }
        })
    }

    /// What is left behind the first place where the chunk fits.
    fn somewhere<'a>(&self, text: &'a str) -> Option<&'a str> {
        if let [Step::Text(wanted)] = self.0.as_slice() {
            return text.split_once(wanted.as_str()).map(|(_, rest)| rest);
        }
        let mut chars = text.chars();
        loop {
            if let Some(rest) = self.at_start(chars.as_str()) {
                return Some(rest);
            }
            chars.next()?;
        }
    }
}
