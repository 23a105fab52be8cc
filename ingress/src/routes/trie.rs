//! Paths by their segments. A walk looks at each segment of the request once for each way in which
//! the routes go on there, and a lone way is one comparison however many segments it has.

use std::{collections::HashMap, ops::ControlFlow};

use smallvec::SmallVec;

use super::{
    encoding,
    gate::{Gate, Leaf},
    pattern::{Kind, Step},
};

/// A text to look up. It lies in place, as the memory behind a pointer is slow to come by.
pub(super) type Key = SmallVec<[u8; 32]>;

/// The text as a key.
pub(super) fn key(text: &str) -> Key {
    Key::from_slice(text.as_bytes())
}

/// Exact paths with parameters.
#[derive(Debug, Default)]
pub(super) struct Patterns(Node);

/// Where paths part.
#[derive(Debug, Default)]
struct Node {
    /// Literal segments that all paths have here in common.
    through: Option<Key>,
    literals: HashMap<Key, Node>,
    typed: Vec<(Kind, Node)>,
    untyped: Option<Box<Node>>,
    rest: Option<Box<Leaf>>,
    /// The routes of the path that ends here.
    end: Option<Leaf>,
}

impl Patterns {
    /// Adds the leaf of a pattern that is not there yet.
    pub(super) fn insert(&mut self, steps: &[Step], leaf: Leaf) {
        self.0.insert(steps, leaf);
    }

    /// Joins segments between which nothing parts. Nothing can be added afterwards.
    pub(super) fn finish(&mut self) {
        self.0.join();
    }

    /// Shows the leaves that fit a path without its first `/`, the best first. Segment by segment
    /// a literal comes before a typed parameter before an untyped one before the rest.
    pub(super) fn visit<'t, B>(
        &'t self,
        path: &str,
        visit: &mut impl FnMut(&'t Leaf, Option<&'t Gate>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.0.visit(Some(path), visit)
    }
}

impl Node {
    fn insert(&mut self, steps: &[Step], leaf: Leaf) {
        match steps.split_first() {
            None => self.end = Some(leaf),
            Some((Step::Parameter(Kind::Many), _)) => self.rest = Some(Box::new(leaf)),
            Some((Step::Parameter(Kind::Any), after)) => {
                self.untyped.get_or_insert_default().insert(after, leaf);
            }
            Some((Step::Literal(text), after)) => {
                self.literals.entry(key(text)).or_default().insert(after, leaf);
            }
            Some((Step::Parameter(kind), after)) => {
                let known = self.typed.iter().position(|(known, _)| known == kind);
                let at = known.unwrap_or(self.typed.len());
                if known.is_none() {
                    self.typed.push((*kind, Self::default()));
                }
                if let Some((_, node)) = self.typed.get_mut(at) {
                    node.insert(after, leaf);
                }
            }
        }
    }

    fn join(&mut self) {
        let typed = self.typed.iter_mut().map(|(_, node)| node);
        let after = self.literals.values_mut().chain(typed).chain(self.untyped.as_deref_mut());
        after.for_each(Self::join);
        let parts = !self.typed.is_empty()
            || self.untyped.is_some()
            || self.rest.is_some()
            || self.end.is_some();
        if parts || self.literals.len() > 1 {
            return;
        }
        let lone = std::mem::take(&mut self.literals).into_iter().next();
        if let Some((mut through, node)) = lone {
            *self = node;
            if let Some(further) = &self.through {
                through.push(b'/');
                through.extend_from_slice(further);
            }
            self.through = Some(through);
        }
    }

    fn visit<'t, B>(
        &'t self,
        path: Option<&str>,
        visit: &mut impl FnMut(&'t Leaf, Option<&'t Gate>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let path = match &self.through {
            None => path,
            Some(through) => match path.and_then(|path| behind(path, through)) {
                None => return ControlFlow::Continue(()),
                Some(after) => after,
            },
        };
        let Some(path) = path else {
            return self.end.iter().try_for_each(|leaf| visit(leaf, None));
        };
        let (segment, after) = encoding::segment(path);
        if let Some(node) = self.literals.get(segment.as_bytes()) {
            node.visit(after, visit)?;
        }
        for (kind, node) in &self.typed {
            if kind.fits(segment) {
                node.visit(after, visit)?;
            }
        }
        if let Some(node) = &self.untyped
            && Kind::Any.fits(segment)
        {
            node.visit(after, visit)?;
        }
        if let Some(leaf) = &self.rest
            && Kind::Many.fits(path)
        {
            visit(leaf, None)?;
        }
        ControlFlow::Continue(())
    }
}

/// What is left of a path behind these segments, if it starts with them.
fn behind<'p>(path: &'p str, segments: &[u8]) -> Option<Option<&'p str>> {
    path.as_bytes().strip_prefix(segments)?;
    match path.get(segments.len()..)? {
        "" => Some(None),
        after => after.strip_prefix('/').map(Some),
    }
}

/// Prefixes that go on from here.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    longer: HashMap<Key, Prefixes>,
    leaf: Option<Leaf>,
}

impl Prefixes {
    /// Adds the leaf of a prefix that is not there yet.
    pub(super) fn insert(&mut self, segments: &[String], leaf: Leaf) {
        match segments.split_first() {
            None => self.leaf = Some(leaf),
            Some((segment, after)) => {
                self.longer.entry(key(segment)).or_default().insert(after, leaf);
            }
        }
    }

    /// Shows the leaves above a path without its first `/`, the longest prefix first.
    pub(super) fn visit<'t, B>(
        &'t self,
        path: Option<&str>,
        visit: &mut impl FnMut(&'t Leaf, Option<&'t Gate>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if let Some(path) = path {
            let (segment, after) = encoding::segment(path);
            if let Some(node) = self.longer.get(segment.as_bytes()) {
                node.visit(after, visit)?;
            }
        }
        self.leaf.iter().try_for_each(|leaf| visit(leaf, None))
    }
}
