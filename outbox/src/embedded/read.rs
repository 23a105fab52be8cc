//! Reading records from the disk: for claims, and for people. Never on a thread that serves
//! requests.

use std::{ops::Bound, pin::pin, sync::Arc, time::Duration};

use super::{Shared, Trouble, state::Phase};
use crate::{
    Claim, Filter, Id, Letter, Millis, NotStored, Page, State,
    entry::{Progress, decode_dead, decode_put},
    log::{
        Place,
        segment::{Segment, Unread},
    },
    schedule::Next,
};

/// A page of a list ends when its records have so many bytes.
const PAGE_BYTES: usize = 16 << 20;

/// So many records are looked at together for a list.
const LOOK_AT: usize = 1024;

/// After so many times a page ends, whatever was found: what is rare is looked for in several.
const ROUNDS: usize = 16;

/// When a record that cannot be read is tried again.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// A record on the disk.
type At = (Arc<Segment>, Place);

/// Claims that nobody has got yet. If they are dropped they are given back.
struct Claimed<'a> {
    shared: &'a Shared,
    ids: Vec<Id>,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            self.shared.change(|inner| {
                for id in self.ids.drain(..) {
                    inner.schedule.release(id);
                }
            });
        }
    }
}

/// Runs something that reads where waiting for a disk harms nobody.
async fn aside<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    // It fails only if the runtime ends.
    tokio::task::spawn_blocking(read).await.ok()
}

/// Waits for records that are due and claims them.
pub(super) async fn claim(shared: &Shared, max: usize) -> Vec<Claim> {
    loop {
        let mut changed = pin!(shared.changed.notified());
        // From here on no change is missed.
        changed.as_mut().enable();
        let now = Millis::now();
        let mut next_due = None;
        let mut nexts = Vec::new();
        {
            let mut inner = shared.inner();
            match inner.phase {
                _ if inner.stopped => return Vec::new(),
                Phase::Closed => return Vec::new(),
                // Told once it can be used.
                Phase::Recovering | Phase::Broken(_) => {}
                Phase::Ready => {
                    for next in inner.schedule.claim(now, max) {
                        let segment = inner.segments.get(&next.place.segment).cloned();
                        nexts.push((next, segment));
                    }
                    if nexts.is_empty() {
                        next_due = inner.falls_asleep();
                    }
                }
            }
        }
        if !nexts.is_empty() {
            let ids = nexts.iter().map(|(next, _)| next.id).collect();
            let mut claimed = Claimed { shared, ids };
            let Some(read) = aside(move || nexts.into_iter().map(read_claim).collect()).await
            else {
                return Vec::new();
            };
            let claims = settle(shared, read);
            claimed.ids.clear();
            if !claims.is_empty() {
                return claims;
            }
            continue;
        }
        match next_due {
            None => changed.await,
            Some(at) => {
                let wait = at.since(now).max(Duration::from_millis(1));
                drop(tokio::time::timeout(wait, changed).await);
            }
        }
    }
}

type Read = (Next<Place>, Result<Claim, Unread>);

fn read_claim((next, segment): (Next<Place>, Option<Arc<Segment>>)) -> Read {
    // Its segment is gone only if it could not be copied.
    let read = segment.ok_or(Unread::Damaged);
    let read = read.and_then(|segment| segment.read(next.place, next.id.0));
    let claim = read.and_then(|(_, payload)| {
        let mut record = decode_put(payload).ok_or(Unread::Damaged)?;
        record.head.after_poison |= next.after_poison;
        Ok(Claim { id: next.id, record, attempts: next.attempts, trouble: next.trouble })
    });
    (next, claim)
}

/// Gives back what cannot be read now, and gives up what is damaged.
fn settle(shared: &Shared, read: Vec<Read>) -> Vec<Claim> {
    let mut claims = Vec::with_capacity(read.len());
    for (next, claim) in read {
        let id = next.id;
        match claim {
            Ok(claim) => claims.push(claim),
            Err(Unread::Io(cause)) => {
                let again = Millis::now().plus(READ_AGAIN);
                shared.change(|inner| inner.schedule.again(id, false, again, None));
                shared.settings.tell.tell(Trouble::Unread(id, cause.to_string().into()));
            }
            Err(Unread::Damaged) => {
                shared.change(|inner| {
                    let place = inner.schedule.give_up(id, false);
                    inner.left(id, place);
                    inner.damaged += 1;
                });
                let Place { at, len, segment } = next.place;
                let file = format!("pending-{segment:010}");
                let trouble = Trouble::Damaged { file, from: at, bytes: len, record: Some(id) };
                shared.settings.tell.tell(trouble);
            }
        }
    }
    claims
}

/// How far a record has come; nothing if it was never tried, or that cannot be read.
pub(super) async fn progress(shared: &Shared, id: Id) -> Progress {
    let at = {
        let inner = shared.inner();
        inner.progress.get(&id).and_then(|place| {
            let segment = inner.segments.get(&place.segment)?;
            Some((Arc::clone(segment), *place))
        })
    };
    let Some(at) = at else { return Progress::default() };
    aside(move || read_progress(&at, id)).await.unwrap_or_default()
}

fn read_progress((segment, place): &At, id: Id) -> Progress {
    let payload = segment.read(*place, id.0).ok().map(|(_, payload)| payload);
    payload.and_then(|payload| Progress::decode(&payload)).unwrap_or_default()
}

/// What is known of a record without reading it.
#[derive(Debug)]
struct Known {
    id: Id,
    at: At,
    progress: Option<At>,
    state: State,
    due: Option<Millis>,
}

fn known(shared: &Shared, ids: impl Iterator<Item = Id>) -> Vec<Known> {
    let inner = shared.inner();
    let of = |id: Id| {
        if let Some(letter) = inner.dead.letters.get(&id) {
            let segment = inner.dead.segments.get(&letter.place.segment)?;
            let state = if letter.replayed { State::Replayed } else { State::Dead };
            let at = (Arc::clone(segment), letter.place);
            return Some(Known { id, at, progress: None, state, due: None });
        }
        let find = |place: Place| Some((Arc::clone(inner.segments.get(&place.segment)?), place));
        let at = find(inner.schedule.place(id)?)?;
        let progress = inner.progress.get(&id).and_then(|place| find(*place));
        let (state, due) = inner.schedule.state(id)?;
        Some(Known { id, at, progress, state, due })
    };
    ids.filter_map(of).collect()
}

/// Reads a letter; none if it is damaged, which its claim will tell.
fn letter(known: &Known) -> Option<Letter> {
    let Known { id, at: (segment, place), state, due, .. } = known;
    let (_, payload) = segment.read(*place, id.0).ok()?;
    let (record, progress) = if matches!(state, State::Dead | State::Replayed) {
        let (head, record) = decode_dead(payload)?;
        (record, head.progress)
    } else {
        let progress = known.progress.as_ref().map(|at| read_progress(at, *id));
        (decode_put(payload)?, progress.unwrap_or_default())
    };
    let why = progress.why.filter(|_| *state != State::Pending && *state != State::Delivering);
    Some(Letter {
        id: *id,
        state: *state,
        record,
        attempts: progress.attempts,
        attempted: progress.attempted,
        due: *due,
        why,
    })
}

/// One record.
pub(super) async fn show(shared: &Shared, id: Id) -> Result<Option<Letter>, NotStored> {
    let known = known(shared, std::iter::once(id)).pop();
    let Some(known) = known else { return Ok(None) };
    Ok(aside(move || letter(&known)).await.flatten())
}

/// The dead letters with the highest numbers that were not replayed, the highest first.
pub(super) async fn newest_dead(shared: &Shared, max: usize) -> Vec<Letter> {
    let ids: Vec<Id> = {
        let inner = shared.inner();
        let dead = inner.dead.letters.iter().rev().filter(|(_, letter)| !letter.replayed);
        dead.take(max).map(|(id, _)| *id).collect()
    };
    let known = known(shared, ids.into_iter());
    aside(move || known.iter().filter_map(letter).collect()).await.unwrap_or_default()
}

/// The first numbers after `after`, rising, of what may be in a state.
fn ids(shared: &Shared, state: Option<State>, after: Option<Id>, max: usize) -> Vec<Id> {
    let inner = shared.inner();
    let is_dead = state.map(|state| matches!(state, State::Dead | State::Replayed));
    let of = |wanted: bool| if wanted { max } else { 0 };
    let scheduled = inner.schedule.ids_after(after).take(of(is_dead != Some(true)));
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let dead = inner.dead.letters.range((from, Bound::Unbounded)).map(|(id, _)| *id);
    let mut ids: Vec<Id> = scheduled.chain(dead.take(of(is_dead != Some(false)))).collect();
    ids.sort_unstable();
    // One that is becoming a dead letter is both for a moment.
    ids.dedup();
    ids.truncate(max);
    ids
}

/// The records that a filter asks for.
pub(super) async fn list(
    shared: &Shared,
    filter: &Filter,
    after: Option<Id>,
    max: usize,
) -> Result<Page, NotStored> {
    let mut page = Page::default();
    let mut bytes = 0;
    let mut at = after;
    for _ in 0..ROUNDS {
        let ids = ids(shared, filter.state, at, LOOK_AT);
        let Some(last) = ids.last().copied() else { return Ok(page) };
        let wanted = |known: &Known| filter.state.is_none_or(|state| state == known.state);
        let some = known(shared, ids.into_iter()).into_iter().filter(wanted).collect::<Vec<_>>();
        for few in Chunks(some) {
            let Some(letters) = aside(move || few.iter().map(letter).collect::<Vec<_>>()).await
            else {
                return Ok(page);
            };
            for letter in letters.into_iter().flatten() {
                if !filter.fits(&letter.record, letter.state) {
                    continue;
                }
                if page.letters.len() >= max || bytes > PAGE_BYTES {
                    page.next = page.letters.last().map(|last| last.id);
                    return Ok(page);
                }
                bytes += letter.record.data.len();
                page.letters.push(letter);
            }
        }
        at = Some(last);
    }
    page.next = at;
    Ok(page)
}

/// A few records at a time: they may be large.
struct Chunks(Vec<Known>);

impl Iterator for Chunks {
    type Item = Vec<Known>;

    fn next(&mut self) -> Option<Vec<Known>> {
        let rest = self.0.split_off(self.0.len().min(32));
        let few = std::mem::replace(&mut self.0, rest);
        (!few.is_empty()).then_some(few)
    }
}
