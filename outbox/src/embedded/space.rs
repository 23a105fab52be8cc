//! How space comes back: only the oldest segment of a log is ever removed, so that no mark is gone
//! before what it speaks of. What is still needed of it is copied forward and synced first.

use super::{
    state::Inner,
    writer::{Failed, Writer},
};
use crate::{
    Id, Millis, State,
    entry::{Progress, SEEN, encode_seen},
    log::{
        Place,
        frame::{self, COPY, Header, Kind},
        segment::{FIRST, Item, Segment},
    },
};

/// How much is copied between two groups of jobs where there is no hurry, in bytes.
const COPY_BYTES: usize = 256 << 10;

/// How much more is copied than is put where there is: with three quarters of the log in use, three
/// bytes are copied for one that comes back.
const HURRY: usize = 4;

/// How many of those that were seen are told of in one frame.
const SEEN_TOGETHER: usize = 256;

/// A segment that is being copied forward.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copying {
    segment: u32,
    /// Up to here it is.
    at: u32,
}

/// What was copied.
enum Copied {
    Record { id: Id, from: Place, to: Place },
    Progress { id: Id, from: Place, to: Place },
}

impl Writer {
    /// Gets space back, after so many bytes were written. Does a bounded part of it.
    pub(super) fn tidy(&mut self, written: usize) -> Result<(), Failed> {
        self.tidy_dead()?;
        loop {
            let Some((oldest, bytes)) = self.pending.oldest() else { return Ok(()) };
            let (number, bytes) = (oldest.about.number, *bytes);
            let live = self.shared.inner().live(number);
            if live == 0 {
                self.copying = None;
                self.let_go(number)?;
                continue;
            }
            let hurry = self.is_crowded();
            if self.copying.is_none() {
                if live > bytes / 4 && !(hurry && self.is_worth_it()) {
                    return Ok(());
                }
                self.copying = Some(Copying { segment: number, at: FIRST });
            }
            let some = if hurry { (written * HURRY).max(4 * COPY_BYTES) } else { COPY_BYTES };
            match self.copy(some) {
                Ok(true) => return Ok(()),
                // All is copied, or what is left cannot be read: its claim will tell.
                Ok(false) => {
                    self.copying = None;
                    self.let_go(number)?;
                    return Ok(());
                }
                Err(Failed::NoRoom) => {
                    self.copying = None;
                    return Ok(());
                }
                Err(failed) => return Err(failed),
            }
        }
    }

    /// Whether copying can win anything: a log of nothing but what is needed only moves in circles.
    fn is_worth_it(&self) -> bool {
        let live = self.shared.inner().live_bytes();
        self.pending.written() > live + self.pending.capacity() as u64 * 3 / 2
    }

    /// Copies some bytes of the segment. Says whether there is more.
    fn copy(&mut self, some: usize) -> Result<bool, Failed> {
        let Some(Copying { segment: number, at }) = self.copying else { return Ok(false) };
        let segment = self.shared.inner().segments.get(&number).cloned();
        let Some(segment) = segment else { return Ok(false) };
        let some = some.min(self.pending.capacity() / 4);
        let (frames, next) = self.needed(&segment, at, some)?;
        let bytes = frames.iter().map(|(_, _, payload)| frame::size(payload.len())).sum();
        if !self.pending.fits(bytes) {
            self.roll()?;
        }
        let mut copied = Vec::with_capacity(frames.len());
        for (from, header, mut payload) in frames {
            let id = Id(header.id);
            if header.kind == Kind::Put {
                let to = self.pending.stage((Kind::Put, COPY), id.0, 0, &[&payload]);
                copied.push(Copied::Record { id, from, to });
            } else {
                if self.shared.inner().schedule.state(id).is_none_or(|(is, _)| is != State::Parked)
                {
                    Progress::unpark(&mut payload);
                }
                let to = self.pending.stage((Kind::Progress, COPY), id.0, 0, &[&payload]);
                copied.push(Copied::Progress { id, from, to });
            }
        }
        self.pending.write()?;
        self.wrote();
        let mut inner = self.shared.inner();
        for copied in copied {
            match copied {
                Copied::Record { id, from, to } => inner.moved(id, from, to),
                Copied::Progress { id, from, to } => {
                    if inner.progress.get(&id) == Some(&from) {
                        inner.came(id, to);
                    }
                }
            }
        }
        drop(inner);
        let Some(at) = next else { return Ok(false) };
        self.copying = Some(Copying { segment: number, at });
        Ok(true)
    }

    /// Some frames of a segment that are still needed, and where the rest begins.
    #[expect(clippy::type_complexity, reason = "it is used once")]
    fn needed(
        &self,
        segment: &Segment,
        at: u32,
        some: usize,
    ) -> Result<(Vec<(Place, Header, Vec<u8>)>, Option<u32>), Failed> {
        let needed = |inner: &Inner, header: &Header, place: Place| match header.kind {
            Kind::Put => inner.schedule.place(Id(header.id)) == Some(place),
            Kind::Progress => inner.progress.get(&Id(header.id)) == Some(&place),
            _ => false,
        };
        let mut frames = Vec::new();
        let mut bytes = 0;
        // Reading costs as well.
        let read_max = u64::from(at) + 16 * some as u64;
        let mut scan = segment.scan(at).map_err(Failed::Lost)?;
        loop {
            let next = scan.at();
            if bytes >= some || u64::from(next) > read_max {
                return Ok((frames, Some(next)));
            }
            match scan.next().map_err(Failed::Lost)? {
                None => return Ok((frames, None)),
                Some(Item::Bad(_)) => {}
                Some(Item::Frame(place, header, payload)) => {
                    if needed(&self.shared.inner(), &header, place) {
                        bytes += frame::size(payload.len());
                        frames.push((place, header, payload.to_vec()));
                    }
                }
            }
        }
    }

    /// Removes the oldest segment, once what else it knows is told elsewhere.
    fn let_go(&mut self, number: u32) -> Result<(), Failed> {
        match self.tell_of_seen(number) {
            // Without room they are forgotten: room comes first.
            Ok(()) | Err(Failed::NoRoom) => {}
            Err(failed) => return Err(failed),
        }
        self.sync()?;
        self.pending.remove_oldest()?;
        let mut inner = self.shared.inner();
        inner.forget(number);
        inner.disk_bytes = self.pending.bytes() + self.dead.bytes();
        Ok(())
    }

    /// Says again who was seen, of whom only this segment tells.
    fn tell_of_seen(&mut self, number: u32) -> Result<(), Failed> {
        let seen = self.shared.inner().window.of(number, Millis::now());
        for some in seen.chunks(SEEN_TOGETHER) {
            let mut payload = Vec::with_capacity(some.len() * SEEN);
            for (who, id, at) in some {
                encode_seen(&mut payload, *who, id.0, *at);
            }
            if !self.pending.fits(frame::size(payload.len())) {
                self.roll()?;
            }
            let place = self.pending.stage((Kind::Seen, 0), 0, 0, &[&payload]);
            self.pending.write()?;
            self.wrote();
            let mut inner = self.shared.inner();
            for (who, id, _) in some {
                inner.window.moved(who, *id, place.segment);
            }
        }
        Ok(())
    }
}
