//! The limits of one route, and what its callers are told of them.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use schemas::{Class, Fault, template::Unfilled};

use super::{Asker, Limiter, Standing};
use crate::clock::nanos_of;

/// The most limits that one route can have.
pub const LIMITS_MAX: usize = 8;

/// The limits of a route, each with buckets of its own. A request has to pass them all.
#[derive(Debug)]
pub struct Limits {
    /// Those whose key the head tells, then those that need the event.
    all: Box<[Arc<Limiter>]>,
    /// Where the second kind begins.
    by_event: usize,
    /// Their names, as the headers call them.
    names: Box<[String]>,
    /// What they are, for [`POLICY`].
    policy: HeaderValue,
}

/// How the limits stand that a request has passed, in their order.
#[derive(Clone, Debug, Default)]
pub struct Standings(Vec<(usize, Standing)>);

/// What a request has taken, so that it can be put back.
#[derive(Debug, Default)]
pub struct Taken<'l>(Vec<(&'l Limiter, u128, u32)>);

/// Why a request does not pass.
#[derive(Debug)]
pub enum Exceeded {
    /// It is over a limit.
    Limit(Standings),
    /// It brings no value for a key.
    NoKey(Unfilled),
}

/// What may still come (draft-ietf-httpapi-ratelimit-headers-10, section 4).
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What the limits are (draft-ietf-httpapi-ratelimit-headers-10, section 3).
pub const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

const NANOS_IN_S: u64 = 1_000_000_000;

impl Limits {
    /// The limits of a route; `None` if there are none.
    #[must_use]
    pub fn new(mut all: Vec<Arc<Limiter>>) -> Option<Self> {
        // A stable sort: those of a kind stay in the order in which they are written.
        all.sort_by_key(|limit| limit.settings().key.reads_event());
        let by_event = all.partition_point(|limit| !limit.settings().key.reads_event());
        let mut names: Vec<String> = Vec::new();
        for limit in &all {
            let name = limit.settings().rate.to_string();
            let same = names.iter().filter(|known| known.split('#').next() == Some(&name)).count();
            names.push(if same == 0 { name } else { format!("{name}#{}", same + 1) });
        }
        let mut policy = String::new();
        for (limit, name) in all.iter().zip(&names) {
            // In so many seconds an empty bucket is full again.
            let window = limit.room.div_ceil(NANOS_IN_S);
            let burst = limit.settings().burst;
            separate(&mut policy);
            // Writing to a string does not fail.
            write!(policy, "\"{name}\";q={burst};w={window}").ok();
        }
        let policy = HeaderValue::try_from(policy).ok()?;
        let some = !all.is_empty();
        some.then(|| Self { all: all.into(), by_event, names: names.into(), policy })
    }

    /// Each limit.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Limiter>> {
        self.all.iter()
    }

    /// Whether any of them needs the event.
    #[must_use]
    pub fn reads_event(&self) -> bool {
        self.by_event < self.all.len()
    }

    /// Takes so many of every limit whose key the head tells, or of none of them.
    ///
    /// # Errors
    /// One of them refuses.
    pub fn take_by_head<'l>(
        &'l self,
        asker: &Asker<'_>,
        count: u32,
        now: u64,
        taken: &mut Taken<'l>,
    ) -> Result<Standings, Exceeded> {
        self.take(0, self.by_event, asker, count, now, taken)
    }

    /// Takes so many of every limit whose key the event tells, or of none of them.
    ///
    /// # Errors
    /// One of them refuses.
    pub fn take_by_event<'l>(
        &'l self,
        asker: &Asker<'_>,
        count: u32,
        now: u64,
        taken: &mut Taken<'l>,
    ) -> Result<Standings, Exceeded> {
        self.take(self.by_event, self.all.len(), asker, count, now, taken)
    }

    fn take<'l>(
        &'l self,
        from: usize,
        to: usize,
        asker: &Asker<'_>,
        count: u32,
        now: u64,
        taken: &mut Taken<'l>,
    ) -> Result<Standings, Exceeded> {
        let mut standings = Standings::default();
        let before = taken.0.len();
        for (at, limit) in self.all.iter().enumerate().take(to).skip(from) {
            let outcome = limit.settings().key.of(asker).map_err(Exceeded::NoKey).and_then(|key| {
                let standing = limit.take(key, count, now);
                standing.map(|standing| (key, standing)).map_err(|standing| {
                    // Only what was refused is worth telling.
                    Exceeded::Limit(Standings(vec![(at, standing)]))
                })
            });
            match outcome {
                Ok((key, standing)) => {
                    taken.0.push((limit, key, count));
                    standings.0.push((at, standing));
                }
                Err(exceeded) => {
                    taken.put_back_from(before, now);
                    return Err(exceeded);
                }
            }
        }
        Ok(standings)
    }

    /// How the first limit stands that would refuse one by the head alone. Takes nothing.
    #[must_use]
    pub fn refused_by_head(&self, asker: &Asker<'_>, now: u64) -> Option<Standings> {
        self.all.iter().enumerate().take(self.by_event).find_map(|(at, limit)| {
            let key = limit.settings().key.of(asker).ok()?;
            Some(Standings(vec![(at, limit.refusal(key, now)?)]))
        })
    }

    /// Says in an answer's headers what the limits are and how they stand. What the function says
    /// of limits of its own stays.
    pub fn tell(&self, standings: &Standings, headers: &mut HeaderMap) {
        let mut text = String::new();
        for (at, standing) in &standings.0 {
            let Some(name) = self.names.get(*at) else { continue };
            let next = nanos_of(standing.next).div_ceil(NANOS_IN_S);
            separate(&mut text);
            // Writing to a string does not fail.
            write!(text, "\"{name}\";r={};t={next}", standing.remaining).ok();
        }
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(POLICY, self.policy.clone());
            headers.append(RATE_LIMIT, value);
        }
    }
}

fn separate(list: &mut String) {
    if !list.is_empty() {
        list.push_str(", ");
    }
}

impl Standings {
    /// Puts others behind these.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// What the caller of a request over the limit is told.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let wait = self.0.iter().map(|(_, standing)| standing.next).max().unwrap_or_default();
        let detail = "there were more requests than the rate limit allows; come again later";
        Fault::new(Class::RateLimited, detail).after(wait.max(Duration::from_millis(1)))
    }
}

impl Taken<'_> {
    /// Whether nothing was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts everything back: the request was refused, and has done nothing.
    pub fn put_back(mut self, now: u64) {
        self.put_back_from(0, now);
    }

    fn put_back_from(&mut self, from: usize, now: u64) {
        for (limit, key, count) in self.0.drain(from..) {
            limit.put_back(key, count, now);
        }
    }
}
