//! What is known of a service's methods: its descriptors, and the rules by which HTTP requests find
//! them. What was good last is kept while nothing better is to be had.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use schemas::{Class, Fault, Reveal};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, watch},
    time::timeout_at,
};
use transcoding::{Binding, Descriptors, Rules};

use super::{
    looks::{self, Looks},
    source::{Files, Source},
};
use crate::{Tools, http as service};

/// How long a call waits for the first look to end.
const WAIT: Duration = Duration::from_secs(5);

/// What is known.
#[derive(Debug)]
pub struct Loaded {
    /// The services.
    pub descriptors: Descriptors,
    /// Their HTTP rules.
    pub rules: Rules,
    /// Each method called by its name.
    methods: HashMap<String, Binding>,
    /// Where it comes from.
    pub from: String,
}

impl Loaded {
    pub(super) fn new(descriptors: Descriptors, from: String) -> Self {
        let rules = Rules::new(&descriptors, |_| true);
        let methods = descriptors.services().iter().flat_map(|service| &service.methods);
        let methods = methods
            .map(|method| {
                let name = method.path.trim_start_matches('/').to_owned();
                (name, Binding::of_method(&descriptors, method))
            })
            .collect();
        Self { descriptors, rules, methods, from }
    }

    /// The methods' names, `package.Service/Method`, as the files have them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let methods = self.descriptors.services().iter().flat_map(|service| &service.methods);
        methods.map(|method| method.path.trim_start_matches('/'))
    }

    /// The method with this name, `package.Service/Method`.
    pub(super) fn method(&self, name: &str) -> Option<&Binding> {
        self.methods.get(name)
    }
}

/// What is known of an upstream's methods, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Known {
    /// Where it comes from, such as `reflection v1`; none: nothing is known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How many services there are.
    pub services: usize,
    /// How many methods they have.
    pub methods: usize,
    /// Why the last look brought nothing, if it did not; what was good last is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// HTTP rules that are left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// What the looks have brought so far.
#[derive(Debug, Default)]
struct State {
    /// What was good last.
    loaded: Option<Arc<Loaded>>,
    /// Why the last look brought nothing.
    problem: Option<String>,
}

/// The descriptors of one upstream, and who keeps them fresh.
#[derive(Debug)]
pub struct Catalog {
    source: Source,
    state: watch::Sender<State>,
    /// Rings when somebody asks for what nobody knows.
    bell: Arc<Notify>,
    kept: AtomicBool,
}

impl Catalog {
    /// Makes an empty one.
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            state: watch::Sender::default(),
            bell: Arc::default(),
            kept: AtomicBool::new(false),
        }
    }

    /// What is known now.
    #[must_use]
    pub fn loaded(&self) -> Option<Arc<Loaded>> {
        self.state.borrow().loaded.clone()
    }

    /// Why the last look brought nothing, if it did not.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.state.borrow().problem.clone()
    }

    /// What is known now, for people.
    #[must_use]
    pub fn known(&self) -> Known {
        let loaded = self.loaded();
        let services = loaded.as_ref().map_or(&[][..], |loaded| loaded.descriptors.services());
        let refused = loaded.iter().flat_map(|loaded| loaded.rules.refused());
        Known {
            from: loaded.as_ref().map(|loaded| loaded.from.clone()),
            services: services.len(),
            methods: services.iter().map(|service| service.methods.len()).sum(),
            problem: self.problem(),
            refused: refused.map(ToString::to_string).collect(),
        }
    }

    /// An OpenAPI document of the services, once they are known.
    #[must_use]
    pub fn openapi(&self, title: &str) -> Option<serde_json::Value> {
        let loaded = self.loaded()?;
        Some(transcoding::openapi(&loaded.descriptors, &loaded.rules, title))
    }

    /// The files that it is read from; none if the server is asked.
    pub(super) fn files(&self) -> Option<Files> {
        self.source.files()
    }

    /// A look went well, and brought this if it is new.
    pub(super) fn found(&self, fresh: Option<Loaded>) {
        self.state.send_modify(|state| {
            if let Some(loaded) = fresh {
                state.loaded = Some(Arc::new(loaded));
            }
            state.problem = None;
        });
    }

    /// A look brought nothing.
    pub(super) fn failed(&self, problem: String) {
        self.state.send_modify(|state| state.problem = Some(problem));
    }

    /// Reads what comes from files now, for who checks a configuration and serves nothing. Blocks.
    ///
    /// # Errors
    /// The field that names the files, and what is wrong with them.
    pub(super) fn read(&self, reader: &Arc<dyn Reveal>) -> Result<(), (&'static str, String)> {
        let Some(files) = self.files() else { return Ok(()) };
        let read = files.read(reader, &[]).map_err(|problem| (files.field(), problem))?;
        self.found(read.map(|(descriptors, _)| Loaded::new(descriptors, files.to_string())));
        Ok(())
    }

    /// What is known, once a look has ended.
    ///
    /// # Errors
    /// If it brought nothing, or there was none by the deadline: then nothing was sent anywhere.
    pub(super) async fn get(&self, deadline: Instant) -> Result<Arc<Loaded>, Fault> {
        if let Some(loaded) = self.loaded() {
            return Ok(loaded);
        }
        let until = (Instant::now() + WAIT).min(deadline);
        let mut state = self.state.subscribe();
        let looked = state.wait_for(|state| state.loaded.is_some() || state.problem.is_some());
        drop(timeout_at(until.into(), looked).await);
        if let Some(loaded) = self.loaded() {
            return Ok(loaded);
        }
        self.ring();
        let what = "the methods of the upstream are not known yet; come again";
        let fault = Fault::new(Class::Unavailable, what).code("no_descriptors");
        Err(match self.problem() {
            Some(problem) => fault.because(problem),
            None => fault,
        })
    }

    /// Asks for a look before it is due: a method was asked for that nobody knows.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Has it kept fresh from now on, by a task of this runtime that ends with the catalog.
    pub(super) fn keep(self: &Arc<Self>, service: &service::Target, tools: &Tools) {
        if !self.kept.swap(true, AcqRel) {
            let looks = Looks::new(service, tools);
            drop(tokio::spawn(looks::keep(Arc::downgrade(self), Arc::clone(&self.bell), looks)));
        }
    }
}

/// Catalogs by what they are made of, so that a new table finds those of the one before.
#[derive(Debug, Default)]
pub struct Catalogs(Mutex<HashMap<String, Weak<Catalog>>>);

impl Catalogs {
    /// The catalog that is known by this key, or a new one.
    pub(super) fn of(&self, key: String, source: Source) -> Arc<Catalog> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, catalog| catalog.strong_count() > 0);
        if let Some(known) = all.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let fresh = Arc::new(Catalog::new(source));
        all.insert(key, Arc::downgrade(&fresh));
        fresh
    }
}
