//! A core's view of the table: the table itself, the lanes that this core has made, and whose turn
//! it is among weighted targets.

use std::{
    cell::{Cell, OnceCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use invokers::Tools;
use outbox::Outbox;
use schemas::Invoker;

use crate::{
    Action, Destination, Route, Table, Upstream,
    mirror::Room,
    recorder::series::{SeriesId, TableSeries},
};

/// What a core serves from.
pub(crate) struct View {
    /// The table, shared by all cores.
    pub(crate) table: Arc<Table>,
    tools: Tools,
    lanes: Box<[OnceCell<Rc<dyn Invoker>>]>,
    series: Arc<TableSeries>,
    /// What there is of memory for copies of requests. It outlives the view.
    mirrors: Rc<Room>,
    /// For each route with several targets, each target's credit (see [`View::turn`]).
    credits: Box<[Box<[Cell<i64>]>]>,
}

impl View {
    /// Makes a core's view. No lane is made before its first call; those of the view before are
    /// taken over where the upstream is still the same.
    pub(crate) fn new(
        table: Arc<Table>,
        series: Arc<TableSeries>,
        tools: Tools,
        before: Option<&Self>,
    ) -> Self {
        let known: HashMap<u64, &Rc<dyn Invoker>> = before.map_or_else(HashMap::new, Self::lanes);
        let lanes = table.upstreams.iter().map(|upstream| match known.get(&upstream.digest) {
            Some(lane) => OnceCell::from(Rc::clone(lane)),
            None => OnceCell::new(),
        });
        let lanes = lanes.collect();
        let credits = table
            .routes
            .iter()
            .map(|route| match &route.action {
                Action::Forward(targets) if targets.len() > 1 => {
                    targets.iter().map(|_| Cell::new(0)).collect()
                }
                _ => Box::default(),
            })
            .collect();
        let mirrors = before.map_or_else(Rc::default, |before| Rc::clone(&before.mirrors));
        Self { lanes, series, mirrors, credits, table, tools }
    }

    /// The lanes that have been made, by their upstreams' digests.
    fn lanes(&self) -> HashMap<u64, &Rc<dyn Invoker>> {
        let upstreams = self.table.upstreams.iter().zip(&self.lanes);
        upstreams.filter_map(|(upstream, lane)| Some((upstream.digest, lane.get()?))).collect()
    }

    /// The tools that lanes are made with.
    pub(crate) fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Where events are kept that are accepted before they are delivered.
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.tools.outbox
    }

    /// This core's lane to an upstream.
    pub(crate) fn lane(&self, upstream: &Upstream) -> &Rc<dyn Invoker> {
        self.lanes[upstream.index].get_or_init(|| upstream.target.lane(&self.tools))
    }

    /// Whose turn it is, and in which series that counts. Smooth weighted round robin: everybody
    /// is credited its weight, the richest goes and pays the sum. Every run of as many requests as
    /// the weights add up to gives each target exactly its share, without a run of one target.
    pub(crate) fn turn<'r>(
        &self,
        route: &Route,
        targets: &'r [Destination],
    ) -> (&'r Destination, SeriesId) {
        let credits = &self.credits[route.index];
        let mut best = 0;
        let mut sum = 0;
        for (at, (target, credit)) in targets.iter().zip(credits.iter()).enumerate() {
            credit.set(credit.get() + i64::from(target.weight));
            sum += i64::from(target.weight);
            if credit.get() > credits[best].get() {
                best = at;
            }
        }
        if let Some(credit) = credits.get(best) {
            credit.set(credit.get() - sum);
        }
        (&targets[best], self.series.of(route.index, best))
    }

    /// The room for copies of requests.
    pub(crate) fn mirrors(&self) -> &Rc<Room> {
        &self.mirrors
    }

    /// The series of a route's mirror; for a route that has one.
    pub(crate) fn mirror_series(&self, route: &Route) -> SeriesId {
        self.series.of_mirror(route.index)
    }

    /// The series of a route's first target, or of the route itself if it has none.
    pub(crate) fn series(&self, route: &Route) -> SeriesId {
        self.series.of(route.index, 0)
    }
}
