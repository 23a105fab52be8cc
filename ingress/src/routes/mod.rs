//! Doors and routes: which one route serves a request.

/// A host, exact or `*.suffix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {}

/// A path with parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {}

/// All routes, ready for matching.
#[derive(Debug, Default)]
pub struct Doors {}
