//! Doors and routes: which one route serves a request.

use std::{str::FromStr, sync::Arc};

use crate::Route;

/// A host, exact or `*.suffix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {}

/// A path with parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {}

/// All routes, ready for matching.
#[derive(Debug, Default)]
pub struct Doors {}

/// Two routes that cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// One.
    pub a: usize,
    /// The other.
    pub b: usize,
    /// Why.
    pub why: String,
}

impl FromStr for Host {
    type Err = String;

    fn from_str(_: &str) -> Result<Self, String> {
        Ok(Self {})
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(_: &str) -> Result<Self, String> {
        Ok(Self {})
    }
}

impl Pattern {
    /// The parameters, and whether each may fill several segments.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&str, bool)> {
        Vec::new()
    }
}

impl Doors {
    /// Makes the routes ready for matching.
    ///
    /// # Errors
    /// Pairs of routes that cannot be told apart.
    pub fn build(_: &[Arc<Route>]) -> Result<Self, Vec<Clash>> {
        Ok(Self {})
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
