//! The configuration: one dialect, read from files into a [`Table`].
//!
//! [`parse`] is pure: text in, a checked table or all that is wrong out. It opens no connection
//! and reads no file but through [`Offer::files`], no variable and no clock. The way of a file: `yaml.rs` and `node.rs`
//! (a tree with places), `de` and `written.rs` (the types), `build/` (checks, and the table).

mod build;
mod de;
mod lint;
mod node;
mod not_built;
mod problem;
mod schema;
mod shape;
mod spot;
mod written;
mod yaml;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

pub use build::version;
pub use not_built::KINDS_TO_COME;
pub use problem::{Problem, did_you_mean};
pub use schema::schema;

use crate::Table;

/// A file of the configuration, read by somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name, for messages.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What the program around the gateway has to offer to a configuration.
#[derive(Clone, Default)]
pub struct Offer {
    /// Who follows the topics of upstreams of kind embedded.
    pub embedded: Arc<invokers::embedded::Bus>,
    /// What the process knows of its upstreams and callers. Who loads one configuration after the
    /// other offers the same one each time, so that an edit does not forget it.
    pub registry: Arc<policy::Registry>,
    /// What is known of the methods of gRPC upstreams; the same one each time, too.
    pub catalogs: Arc<invokers::grpc::catalog::Catalogs>,
    /// Reads the files that a configuration names, where these are to be checked too. None where it
    /// is loaded to be served: then a file may come later, as an upstream may.
    pub files: Option<Arc<dyn schemas::Reveal>>,
}

impl fmt::Debug for Offer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Offer")
    }
}

/// A configuration that is ready to serve.
#[derive(Debug)]
pub struct Loaded {
    /// It, as the gateway lives by it.
    pub table: Table,
    /// What can be meant so, but probably is not.
    pub warnings: Vec<Problem>,
}

/// Reads and checks a whole configuration: one file or several, whose mappings are put together
/// and whose routes stand one after the other.
///
/// # Errors
/// All that is wrong, in the order of the files and their lines. Where a file is no YAML, that alone
/// is said: what it holds would be missing everywhere else.
pub fn parse(files: &[File], offer: &Offer) -> Result<Loaded, Vec<Problem>> {
    let mut report = spot::Report::default();
    let mut next_id = 0;
    let mut roots = Vec::new();
    let mut broken = Vec::new();
    for file in files {
        match yaml::read(file, &mut next_id, &mut report.problems) {
            Ok(root) => roots.extend(root.map(|root| (file.name.as_str(), root))),
            Err(problem) => broken.push(problem),
        }
    }
    if !broken.is_empty() {
        return Err(broken);
    }
    let tops: Vec<_> = roots.iter().map(|(file, root)| spot::Spot::top(file, root)).collect();
    let table = build::table(files, &tops, offer, &mut report);
    let order = |problem: &Problem| {
        let file = files.iter().position(|file| file.name == problem.file);
        (file, problem.line, problem.column)
    };
    report.problems.sort_by_key(order);
    report.problems.dedup();
    report.warnings.sort_by_key(order);
    match table {
        Some(table) if report.problems.is_empty() => {
            Ok(Loaded { table, warnings: report.warnings })
        }
        _ => Err(report.problems),
    }
}
