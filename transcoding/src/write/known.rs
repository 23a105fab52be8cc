//! Timestamp, Duration, Value and Any.

use super::gathered::gather;
use super::{Fault, NOT_ITS_TYPE, Outcome, Writer, bytes, text};
use crate::json::put_string;
use crate::plan::{Form, Kind, Message, WireType};
use crate::well_known::Time;
use crate::wire::{Cursor, Item};
use crate::{bundled, scalar};

impl<'a> Writer<'a> {
    /// Prints a Timestamp or a Duration.
    pub(super) fn time(
        &mut self,
        wire: &[u8],
        print: impl FnOnce(&mut Vec<u8>, Time) -> Result<(), &'static str>,
    ) -> Outcome<()> {
        let mut time = Time::default();
        let mut cursor = Cursor::new(wire);
        while !cursor.is_empty() {
            let (number, wire_type) = cursor.tag()?;
            match (number, cursor.item(number, wire_type)?) {
                (1, Item::Bits(bits)) if wire_type == WireType::Varint => {
                    time.seconds = bits.cast_signed();
                }
                (2, Item::Bits(bits)) if wire_type == WireType::Varint => {
                    time.nanos = scalar::narrow(bits);
                }
                (1 | 2, _) => return Err(Fault::new(NOT_ITS_TYPE)),
                _ => {}
            }
        }
        self.out.push(b'"');
        print(&mut self.out, time).map_err(Fault::new)?;
        self.out.push(b'"');
        Ok(())
    }

    /// Prints a `google.protobuf.Value`: the one that is set, or null.
    pub(super) fn value(&mut self, message: &'a Message, wire: &[u8], depth: usize) -> Outcome<()> {
        let found = gather(message, wire)?;
        let Some(last) = found.last() else {
            self.out.extend_from_slice(b"null");
            return Ok(());
        };
        let field = &message.fields[last.at];
        if let (Kind::Double, Item::Bits(bits)) = (field.kind, last.item)
            && !f64::from_bits(bits).is_finite()
        {
            return Err(Fault::new(
                "is a value that is not a finite number, which JSON does not have",
            ));
        }
        self.gathered(field, &found, depth)
    }

    /// Prints a `google.protobuf.Any`: what is in it, beside its type.
    pub(super) fn any(&mut self, message: &'a Message, wire: &[u8], depth: usize) -> Outcome<()> {
        let (mut url, mut value) = ("", &[][..]);
        for found in gather(message, wire)? {
            match found.at {
                0 => url = text(bytes(found.item))?,
                _ => value = bytes(found.item),
            }
        }
        if url.is_empty() && value.is_empty() {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        }
        let name = url.rsplit_once('/').map_or("", |(_, name)| name);
        let own = self.plans.find(name).map(|id| (self.plans, id));
        let found =
            own.or_else(|| bundled::STANDARD.find(name).map(|id| (&*bundled::STANDARD, id)));
        let Some((plans, id)) = found else {
            return Err(Fault::new(format!(
                "has the type `{url}`, which the descriptors do not have"
            )));
        };
        self.out.extend_from_slice(br#"{"@type":"#);
        put_string(&mut self.out, url);
        let around = std::mem::replace(&mut self.plans, plans);
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Fault::new(format!("is nested deeper than {}", self.options.limits.depth)));
        };
        match plans.messages[id].form {
            Form::Fields => self.fields(&plans.messages[id], value, depth)?,
            _ => {
                self.out.extend_from_slice(br#","value":"#);
                self.message(id, value, depth)?;
            }
        }
        self.plans = around;
        self.out.push(b'}');
        Ok(())
    }
}
