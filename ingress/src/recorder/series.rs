//! Which series a request counts in. There is one for each target of each route, by the address as
//! it is written, so that no request can make a new one. A series outlives the table that named
//! it: what the next table names alike goes on counting where it stopped.

use std::{collections::BTreeMap, sync::OnceLock};

use super::metrics::Series;
use crate::{Action, Destination, Route, Table};

/// How many series of routes that are gone are kept. Beyond it the longest gone are dropped, so that
/// a gateway whose routes come and go for a year does not grow by it.
const GONE_MAX: usize = 10_000;

/// The label of requests that no route served.
const NO_ROUTE_LABEL: &str = r#"route="",upstream="",function="""#;

/// One series: its place among every core's counters, and how many had that place before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeriesId {
    at: u32,
    turn: u32,
}

/// The series of requests that no route served.
pub(crate) const NO_ROUTE: SeriesId = SeriesId { at: 0, turn: 0 };

/// The series of one table, by route and target.
#[derive(Debug)]
pub(crate) struct TableSeries {
    first: Box<[usize]>,
    ids: Box<[SeriesId]>,
}

impl TableSeries {
    /// The series of a route's target, or of the route itself (target 0) if it has none.
    pub(crate) fn of(&self, route: usize, target: usize) -> SeriesId {
        self.ids[self.first[route] + target]
    }

    /// The series of a route's mirror, which stands behind those of its targets.
    pub(crate) fn of_mirror(&self, route: usize) -> SeriesId {
        let end = self.first.get(route + 1).copied().unwrap_or(self.ids.len());
        self.ids[end - 1]
    }
}

/// Every series of the process, by its label.
#[derive(Debug)]
pub(crate) struct Book {
    all: BTreeMap<(Counts, String), Entry>,
    /// Places that are free again, with the turn that comes next.
    free: Vec<SeriesId>,
    /// The first place that nobody has had.
    next: u32,
    /// How many tables have been entered.
    tables: u64,
}

/// What a series counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Counts {
    /// Requests.
    Requests,
    /// Copies of requests, for a mirror.
    Copies,
}

#[derive(Debug)]
struct Entry {
    id: SeriesId,
    /// The last table that named it.
    named_by: u64,
}

impl Book {
    /// Starts with the series of requests that no route served.
    pub(crate) fn new() -> Self {
        let no_route = Entry { id: NO_ROUTE, named_by: u64::MAX };
        Self {
            all: BTreeMap::from([((Counts::Requests, NO_ROUTE_LABEL.to_owned()), no_route)]),
            free: Vec::new(),
            next: 1,
            tables: 0,
        }
    }

    /// Finds or makes the series of a table that is about to be served from.
    pub(crate) fn enter(&mut self, table: &Table) -> TableSeries {
        self.tables += 1;
        let mut first = Vec::with_capacity(table.routes.len());
        let mut ids = Vec::with_capacity(table.routes.len());
        for route in &table.routes {
            first.push(ids.len());
            match &route.action {
                Action::Forward(targets) => ids.extend(
                    targets.iter().map(|target| self.named(Counts::Requests, label(route, target))),
                ),
                Action::Respond { .. } | Action::Redirect { .. } => {
                    let label = format!(r#"route="{}",upstream="",function="""#, route.name);
                    ids.push(self.named(Counts::Requests, label));
                }
            }
            if let Some(mirror) = &route.mirror {
                ids.push(self.named(Counts::Copies, label(route, &mirror.target)));
            }
        }
        self.drop_long_gone();
        TableSeries { first: first.into(), ids: ids.into() }
    }

    /// Every series of these with its label, sorted by label.
    pub(crate) fn each(&self, counts: Counts) -> impl Iterator<Item = (&str, SeriesId)> {
        let all = self.all.iter().filter(move |((of, _), _)| *of == counts);
        all.map(|((_, label), entry)| (label.as_str(), entry.id))
    }

    fn named(&mut self, counts: Counts, label: String) -> SeriesId {
        let named_by = self.tables;
        let label = (counts, label);
        if let Some(entry) = self.all.get_mut(&label) {
            entry.named_by = named_by;
            return entry.id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            let at = self.next;
            self.next += 1;
            SeriesId { at, turn: 0 }
        });
        self.all.insert(label, Entry { id, named_by });
        id
    }

    fn drop_long_gone(&mut self) {
        let mut gone: Vec<u64> = self.all.values().map(|entry| entry.named_by).collect();
        gone.retain(|named_by| *named_by < self.tables);
        let Some(many) = gone.len().checked_sub(GONE_MAX).filter(|many| *many > 0) else { return };
        let (_, newest, _) = gone.select_nth_unstable(many - 1);
        let newest = *newest;
        let (all, free) = (&mut self.all, &mut self.free);
        all.retain(|_, entry| {
            let keep = entry.named_by > newest;
            if !keep {
                free.push(SeriesId { turn: entry.id.turn + 1, ..entry.id });
            }
            keep
        });
    }
}

fn label(route: &Route, target: &Destination) -> String {
    format!(
        r#"route="{}",upstream="{}",function="{}""#,
        route.name,
        target.upstream.name,
        label_value(&target.label)
    )
}

/// The value of a label as the Prometheus text format 0.0.4 writes it, without the quotes.
#[must_use]
pub fn label_value(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Places of the first segment; each that follows has twice as many as the one before.
const FIRST_SEGMENT: u32 = 64;
/// Segments for as many places as there are numbers.
const SEGMENTS: usize = 26;

type Segment = Box<[OnceLock<Box<Series>>]>;

/// One core's counters by place. It grows without moving anything, so that whoever adds the cores
/// up needs no lock; a series is allocated when it is first counted in.
#[derive(Debug, Default)]
pub(crate) struct Slots([OnceLock<Segment>; SEGMENTS]);

impl Slots {
    /// The counters, if anything was counted.
    pub(crate) fn get(&self, id: SeriesId) -> Option<&Series> {
        let (segment, offset) = place(id);
        let series = self.0.get(segment)?.get()?.get(offset)?.get()?;
        (series.turn() == id.turn).then_some(&**series)
    }

    /// The counters, to count in; for the owning core alone. None if the place is another's by now:
    /// the route was gone for long when its last request ended.
    pub(crate) fn own(&self, id: SeriesId) -> Option<&Series> {
        let (segment, offset) = place(id);
        let segment = self.0.get(segment)?.get_or_init(|| {
            let places = (FIRST_SEGMENT as usize) << segment;
            (0..places).map(|_| OnceLock::new()).collect()
        });
        let series = segment.get(offset)?.get_or_init(|| Box::new(Series::new(id.turn)));
        match series.turn() {
            turn if turn == id.turn => {}
            turn if turn < id.turn => series.start_anew(id.turn),
            _ => return None,
        }
        Some(series)
    }
}

fn place(id: SeriesId) -> (usize, usize) {
    let at = id.at + FIRST_SEGMENT;
    let segment = at.ilog2() - FIRST_SEGMENT.ilog2();
    (segment as usize, (at - (FIRST_SEGMENT << segment)) as usize)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::config::{self, File, Offer};

    fn table(routes: Range<usize>) -> Table {
        let mut text = "version: 1\nroutes:\n".to_owned();
        for n in routes {
            text.push_str(&format!(
                "  - {{ name: r{n}, match: {{ path: /{n} }}, respond: {{}} }}\n"
            ));
        }
        config::parse(&[File { name: "a".into(), text }], &Offer::default()).unwrap().table
    }

    #[test]
    fn places_are_all_different_and_in_bounds() {
        let mut expected = (0, 0);
        for at in 0..100_000 {
            assert_eq!(place(SeriesId { at, turn: 0 }), expected);
            expected.1 += 1;
            if expected.1 == 64 << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }

    #[test]
    fn a_route_that_stays_keeps_its_series_and_one_that_comes_back_finds_it() {
        let mut book = Book::new();
        let one = book.enter(&table(0..3));
        let two = book.enter(&table(1..4));
        assert_eq!(one.of(1, 0), two.of(0, 0));
        let three = book.enter(&table(0..1));
        assert_eq!(three.of(0, 0), one.of(0, 0));
    }

    #[test]
    fn what_is_long_gone_is_dropped_and_its_place_starts_from_nothing() {
        let mut book = Book::new();
        let slots = Slots::default();
        let first = book.enter(&table(0..1)).of(0, 0);
        slots.own(first).unwrap();
        // Each table names others; those of the first are the longest gone.
        let mut at = 1;
        for _ in 0..12 {
            book.enter(&table(at..at + 1_000));
            at += 1_000;
        }
        assert!(book.all.len() <= GONE_MAX + 1_001, "{}", book.all.len());
        assert!(book.next <= 12_002);
        let all: Vec<_> = book.enter(&table(0..12_000)).ids.to_vec();
        let heir = all.iter().find(|id| id.at == first.at).unwrap();
        assert_eq!(heir.turn, 1);
        assert!(slots.get(*heir).is_none(), "the counts of the one before are not its own");
        assert!(slots.own(*heir).is_some() && slots.own(first).is_none());
        assert!(slots.get(*heir).is_some() && slots.get(first).is_none());
    }
}
