//! The second way: values that came in any order are gathered by their fields first.

use std::collections::HashMap;

use super::{Open, Outcome, Writer, bytes, fits, member};
use crate::plan::{Field, Kind, Message, Shape, WireType};
use crate::wire::{Cursor, Item};

/// A value that was gathered, by the place of its field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) at: usize,
    pub(super) wire_type: WireType,
    pub(super) item: Item<'a>,
}

impl<'a> Writer<'a> {
    /// The second way for one field: all that was found of it.
    pub(super) fn gathered(
        &mut self,
        field: &'a Field,
        found: &[Found<'_>],
        depth: usize,
    ) -> Outcome<()> {
        match field.shape {
            Shape::One => match (field.kind, found) {
                // The parts of a message, one after the other, are the whole of it.
                (Kind::Message(_) | Kind::Group(_), [_, _, ..]) => {
                    let whole: Vec<u8> =
                        found.iter().flat_map(|found| bytes(found.item)).copied().collect();
                    self.element(field, Item::Bytes(&whole), depth)
                }
                (_, [.., last]) => self.element(field, last.item, depth),
                (_, []) => Ok(()),
            },
            Shape::Many { .. } => {
                let mut open = Open::new(field, 0, self.keys.len(), true);
                for found in found {
                    self.listed(&mut open, found.wire_type, found.item, depth)?;
                }
                self.close(&open);
                Ok(())
            }
            Shape::Map => {
                self.out.push(b'{');
                let start = self.out.len();
                // What is printed of each key last; in the order in which the keys came.
                let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
                let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
                for found in found {
                    let key = self.entry(field, bytes(found.item), depth)?;
                    let entry = (self.out[start..key].to_vec(), self.out[start..].to_vec());
                    self.out.truncate(start);
                    match places.get(&entry.0) {
                        Some(place) => entries[*place] = entry,
                        None => {
                            places.insert(entry.0.clone(), entries.len());
                            entries.push(entry);
                        }
                    }
                }
                for (at, (_, entry)) in entries.iter().enumerate() {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    self.out.extend_from_slice(entry);
                }
                self.out.push(b'}');
                Ok(())
            }
        }
    }
}

/// Collects the values of a message by their fields; those of a oneof that a later member of it
/// pushed out are not among them.
pub(super) fn gather<'w>(message: &Message, wire: &'w [u8]) -> Outcome<Vec<Found<'w>>> {
    let mut found = Vec::new();
    // For each oneof the member that came last, and since when it is the one.
    let mut current: HashMap<usize, (usize, usize)> = HashMap::new();
    let mut cursor = Cursor::new(wire);
    while !cursor.is_empty() {
        let (number, wire_type) = cursor.tag()?;
        let item = cursor.item(number, wire_type)?;
        let Some(at) = message.find_number(number, 0) else { continue };
        let field = &message.fields[at];
        let packed = wire_type == WireType::Len
            && matches!(field.shape, Shape::Many { .. })
            && !matches!(field.kind, Kind::Group(_));
        if !packed {
            fits(field, wire_type).map_err(|fault| fault.within(|| member(field)))?;
        }
        if let Some(oneof) = field.oneof {
            let since = found.len();
            let known = current.entry(oneof).or_insert((at, since));
            if known.0 != at {
                *known = (at, since);
            }
        }
        found.push(Found { at, wire_type, item });
    }
    let mut index = 0;
    found.retain(|found: &Found<'_>| {
        let oneof = message.fields[found.at].oneof.and_then(|oneof| current.get(&oneof));
        let kept = oneof.is_none_or(|(at, since)| *at == found.at && index >= *since);
        index += 1;
        kept
    });
    // Stable: what came later stays later.
    found.sort_by_key(|found| found.at);
    Ok(found)
}
