//! What is known of the live configuration, and how it is told.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use admin::config::{By, Config, Refused, Source, SourceKind};
use ingress::{
    Table,
    config::{File, Problem},
};

use super::clock;

/// The configuration that is served.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) version: String,
    pub(super) files: Arc<Vec<File>>,
    since: String,
    since_seconds: u64,
    by: By,
    routes: usize,
    upstreams: usize,
    warnings: Vec<Problem>,
}

/// What is served, and what was not.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) served: Served,
    /// The version that was read last, good or not.
    pub(super) newest: String,
    generation: u64,
    refused: Option<Refused>,
    /// How many were refused since the start.
    failures: u64,
    stale: bool,
}

impl Served {
    pub(super) fn new(files: Vec<File>, table: &Table, warnings: Vec<Problem>, by: By) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        Self {
            version: table.version.clone(),
            files: Arc::new(files),
            since: clock::now(),
            since_seconds: since,
            by,
            routes: table.routes.len(),
            upstreams: table.upstreams.len(),
            warnings,
        }
    }

    /// A line for the log.
    pub(super) fn said(&self) -> String {
        let by = match self.by {
            By::Start => "the start",
            By::File => "a change of the file",
            By::Signal => "SIGHUP",
            By::Api => "the admin API",
            By::Rollback => "a rollback",
            By::LastGood => "the last good configuration",
        };
        format!(
            "version {} is live, by {by} ({} routes, {} upstreams)",
            self.version, self.routes, self.upstreams
        )
    }
}

impl Status {
    pub(super) fn new(served: Served, refused: Option<Refused>) -> Self {
        let newest = refused.as_ref().map_or(&served.version, |refused| &refused.version).clone();
        Self {
            newest,
            generation: 1,
            failures: u64::from(refused.is_some()),
            stale: refused.is_some(),
            refused,
            served,
        }
    }

    pub(super) fn serve(&mut self, served: Served) {
        self.newest.clone_from(&served.version);
        self.served = served;
        self.generation += 1;
        self.settle();
    }

    /// What is served is what should be.
    pub(super) fn settle(&mut self) {
        self.refused = None;
        self.stale = false;
    }

    pub(super) fn refuse(&mut self, refused: Refused, stale: bool) {
        self.refused = Some(refused);
        self.failures += 1;
        self.stale |= stale;
    }

    /// What the admin API tells; whose it is, is for the caller to add.
    pub(super) fn view(&self) -> Config {
        let Served { version, since, by, routes, upstreams, warnings, .. } = &self.served;
        Config {
            version: version.clone(),
            since: since.clone(),
            generation: self.generation,
            by: *by,
            source: Source { kind: SourceKind::BuiltIn, path: None },
            stale: self.stale,
            routes: *routes,
            upstreams: *upstreams,
            warnings: warnings.clone(),
            refused: self.refused.clone(),
            versions: Vec::new(),
        }
    }

    /// What Prometheus is told.
    pub(super) fn metrics(&self) -> String {
        let mut out = String::new();
        let mut say = |name: &str, kind: &str, help: &str, value: u64| {
            write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
                .expect("a String takes all that is written");
        };
        say(
            "gusset_config_generation",
            "gauge",
            "Configurations that have been live since the start.",
            self.generation,
        );
        say(
            "gusset_config_last_success_timestamp_seconds",
            "gauge",
            "When the live configuration went live.",
            self.served.since_seconds,
        );
        say(
            "gusset_config_failures_total",
            "counter",
            "Configurations that were refused.",
            self.failures,
        );
        say(
            "gusset_config_stale",
            "gauge",
            "1 if the file holds another configuration, which was refused.",
            u64::from(self.stale),
        );
        out
    }
}
