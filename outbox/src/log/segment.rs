//! A segment: one file of a log. Its first 4 KiB say twice what it is, so that one damaged byte
//! there does not cost all that is behind; then come frames.

use std::{io, sync::Arc};

use super::{
    Place,
    frame::{self, Header, number},
};
use crate::disk::File;

/// The version of the format that is written, and the newest that is read.
pub(crate) const VERSION: u32 = 1;

/// Where the frames begin.
pub(crate) const FIRST: u32 = 4096;

const MAGIC: [u8; 8] = *b"GUSSETLG";
const ABOUT: usize = 48;
/// The second copy of what a segment says of itself.
const SECOND: u64 = 2048;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// Its number; they rise.
    pub(crate) number: u32,
    /// A number by chance that is in the sum of every frame.
    pub(crate) seed: u64,
    /// No record had this number or a higher one when it was made.
    pub(crate) next_id: u64,
    /// The one before it ends here, and was synced up to here.
    pub(crate) previous_end: u32,
}

/// What is found where a segment should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A segment.
    Segment(About),
    /// Nothing that can be read: it was never used ([`is_unused`]), or is damaged.
    Blank,
    /// A segment of a newer version.
    Newer(u32),
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) about: About,
    pub(crate) file: Arc<dyn File>,
}

/// Why a frame cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error("it is damaged on the disk")]
    Damaged,
    #[error("it cannot be read")]
    Io(#[from] io::Error),
}

impl About {
    fn encode(&self) -> [u8; ABOUT] {
        let mut bytes = [0; ABOUT];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.seed.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.next_id.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.previous_end.to_le_bytes());
        let sum = frame::sum(&bytes[..44]);
        bytes[44..48].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<(u32, Self)> {
        if bytes.len() < ABOUT
            || bytes[..8] != MAGIC
            || number(bytes, 44) != frame::sum(&bytes[..44])
        {
            return None;
        }
        let long = |at| u64::from(number(bytes, at)) | u64::from(number(bytes, at + 4)) << 32;
        let about = Self {
            number: number(bytes, 12),
            seed: long(16),
            next_id: long(24),
            previous_end: number(bytes, 32),
        };
        Some((number(bytes, 8), about))
    }

    /// Writes it into a file that is full of zeros.
    pub(crate) fn write(&self, file: &dyn File) -> io::Result<()> {
        let bytes = self.encode();
        file.write_at(0, &bytes)?;
        file.write_at(SECOND, &bytes)
    }

    /// Reads what a file says of itself.
    pub(crate) fn read(file: &dyn File) -> io::Result<Found> {
        let mut bytes = [0; FIRST as usize];
        file.read_at(0, &mut bytes)?;
        let copies = [&bytes[..ABOUT], &bytes[2048..2048 + ABOUT]];
        let known: Vec<_> = copies.into_iter().filter_map(Self::decode).collect();
        if let Some((version, about)) = known.first() {
            let found = Found::Segment(*about);
            return Ok(if *version > VERSION { Found::Newer(*version) } else { found });
        }
        Ok(Found::Blank)
    }
}

/// Whether nothing was ever stored in a file that does not say what it is: what was being made when
/// the power went has a part of that and nothing behind it.
pub(crate) fn is_unused(file: &dyn File) -> io::Result<bool> {
    let mut at = u64::from(FIRST);
    let mut some = vec![0; 256 << 10];
    loop {
        let read = file.read_at(at, &mut some)?;
        if read == 0 {
            return Ok(true);
        }
        if some[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += read as u64;
    }
}

impl Segment {
    /// Reads a frame whose place is known.
    pub(crate) fn read(&self, place: Place, id: u64) -> Result<(Header, Vec<u8>), Unread> {
        let mut bytes = vec![0; place.len as usize];
        let read = self.file.read_at(u64::from(place.at), &mut bytes)?;
        let head = bytes.first_chunk().filter(|_| read == bytes.len());
        let header = head.and_then(|head| Header::decode(head, self.about.seed, place.at));
        let header = header.filter(|header| header.id == id).ok_or(Unread::Damaged)?;
        let end = frame::HEADER + header.len as usize;
        if end > bytes.len() || frame::sum(&bytes[frame::HEADER..]) != header.sum {
            return Err(Unread::Damaged);
        }
        bytes.truncate(end);
        bytes.drain(..frame::HEADER);
        Ok((header, bytes))
    }

    /// Reads all frames from an offset on.
    pub(crate) fn scan(&self, from: u32) -> io::Result<Scan<'_>> {
        let end = u32::try_from(self.file.size()?).unwrap_or(u32::MAX);
        Ok(Scan { segment: self, at: from, end, buffer: Vec::new(), buffer_at: from })
    }
}

/// One thing that a scan finds.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// A frame that is whole.
    Frame(Place, Header, &'a [u8]),
    /// Bytes that are no frame, or a frame whose payload is damaged.
    Bad(Bad),
}

/// What is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// What its header says, if that is whole.
    pub(crate) header: Option<Header>,
    /// One of its sectors is full of zeros: perhaps it was never written.
    pub(crate) hole: bool,
}

/// Walks over a segment. It goes on behind what is damaged.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    segment: &'a Segment,
    at: u32,
    end: u32,
    buffer: Vec<u8>,
    buffer_at: u32,
}

/// How much is read at once, in bytes.
const READ: usize = 1 << 20;

impl Scan<'_> {
    /// Where the next item begins.
    pub(crate) fn at(&self) -> u32 {
        self.at
    }

    /// The next item; none at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Item<'_>>> {
        let at = self.at;
        if let Some(header) = self.header(at)? {
            let size = frame::size(header.len as usize);
            let len = u32::try_from(size).unwrap_or(u32::MAX);
            self.fill(at, size)?;
            let whole = frame::sum(&self.window(at, size)[frame::HEADER..]) == header.sum;
            self.at = at + len;
            if !whole {
                let hole = hole(at, self.window(at, size));
                let bad = Bad { from: at, to: at + len, header: Some(header), hole };
                return Ok(Some(Item::Bad(bad)));
            }
            let payload = &self.window(at, size)[frame::HEADER..][..header.len as usize];
            let place = Place { segment: self.segment.about.number, at, len };
            return Ok(Some(Item::Frame(place, header, payload)));
        }
        self.resync(at)
    }

    /// Looks for the next frame behind bytes that are none.
    fn resync(&mut self, from: u32) -> io::Result<Option<Item<'_>>> {
        let align = u32::try_from(frame::ALIGN).unwrap_or(8);
        let mut at = from;
        // Behind the last byte that is not zero.
        let mut written = from;
        let mut holes = false;
        while at < self.end {
            let sector = (at / 512 + 1) * 512;
            let to = sector.min(self.end);
            let len = (to - at) as usize;
            self.fill(at, len)?;
            let bytes = self.window(at, len);
            match bytes.iter().rposition(|byte| *byte != 0) {
                None => at = to,
                Some(last) => {
                    // A hole counts only if something is behind it.
                    holes |= at.saturating_sub(written) > 0;
                    let last = at + u32::try_from(last).unwrap_or(0);
                    while at < to {
                        if at > from && self.header(at)?.is_some() {
                            self.at = at;
                            let hole = holes || written == from;
                            let bad = Bad { from, to: at, header: None, hole };
                            return Ok(Some(Item::Bad(bad)));
                        }
                        at += align;
                    }
                    written = last + 1;
                }
            }
        }
        self.at = self.end;
        if written == from {
            return Ok(None);
        }
        let to = written.next_multiple_of(align).min(self.end);
        // A header over two sectors, of which the second was never written.
        let sector = (from / 512 + 1) * 512;
        let hole = holes || (from as usize + frame::HEADER > sector as usize && written <= sector);
        Ok(Some(Item::Bad(Bad { from, to, header: None, hole })))
    }

    /// The header at an offset, if there is one and its frame fits.
    fn header(&mut self, at: u32) -> io::Result<Option<Header>> {
        if u64::from(at) + frame::HEADER as u64 > u64::from(self.end) {
            return Ok(None);
        }
        self.fill(at, frame::HEADER)?;
        let bytes = self.window(at, frame::HEADER);
        let Some(bytes) = bytes.first_chunk().filter(|bytes| bytes[0] != 0) else {
            return Ok(None);
        };
        let header = Header::decode(bytes, self.segment.about.seed, at);
        let fits =
            |header: &Header| at as usize + frame::size(header.len as usize) <= self.end as usize;
        Ok(header.filter(fits))
    }

    /// Has so many bytes from an offset on in the buffer; fewer at the end of the file.
    fn fill(&mut self, at: u32, len: usize) -> io::Result<()> {
        let have = (self.buffer_at as usize) + self.buffer.len();
        if at >= self.buffer_at && at as usize + len <= have {
            return Ok(());
        }
        let want = len.max(READ).min((self.end - at) as usize);
        self.buffer.resize(want, 0);
        let read = self.segment.file.read_at(u64::from(at), &mut self.buffer)?;
        self.buffer.truncate(read);
        self.buffer_at = at;
        if read < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn window(&self, at: u32, len: usize) -> &[u8] {
        let from = (at - self.buffer_at) as usize;
        &self.buffer[from..from + len]
    }
}

/// Whether a sector that a frame has a part of is all zeros there.
fn hole(at: u32, bytes: &[u8]) -> bool {
    let first = (512 - at as usize % 512).min(bytes.len());
    let (first, rest) = bytes.split_at(first);
    let zero = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| *byte == 0);
    zero(first) || rest.chunks(512).any(zero)
}
