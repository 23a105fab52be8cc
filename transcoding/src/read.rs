//! JSON to a message: one pass over the text that writes wire bytes, driven by the plan.

use std::borrow::Cow;

use crate::json::{Fault, Json, Result, fault_at};
use crate::options::{Limits, Options, Unknown};
use crate::plan::{Field, Form, Kind, Message, MessageId, Plans, Shape};
use crate::violation::Violation;
use crate::wire::{begin, end, put_bits, put_bytes, put_varint};
use crate::{base64, scalar, well_known};
use refused::{not_utf8, violation};

mod collections;
mod known;
mod refused;

/// Appends the message that a text says.
pub(crate) fn message(
    plans: &Plans,
    id: MessageId,
    text: &[u8],
    options: &Options,
    out: &mut Vec<u8>,
) -> std::result::Result<(), Violation> {
    whole(plans, text, options, out, |reader| reader.message(id))
}

/// Appends a message of which the text says one field.
pub(crate) fn field(
    plans: &Plans,
    id: MessageId,
    at: usize,
    text: &[u8],
    options: &Options,
    out: &mut Vec<u8>,
) -> std::result::Result<(), Violation> {
    let field = &plans.messages[id].fields[at];
    whole(plans, text, options, out, |reader| {
        reader.field(field).map_err(|fault| within(fault, || member(field)))
    })
}

fn whole<'a>(
    plans: &'a Plans,
    text: &'a [u8],
    options: &Options,
    out: &'a mut Vec<u8>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<()>,
) -> std::result::Result<(), Violation> {
    // What stands before a byte that is not UTF-8 is read all the same, for it tells the field.
    let (checked, cut) = match std::str::from_utf8(text) {
        Ok(whole) => (whole, None),
        Err(cause) => {
            let at = cause.valid_up_to();
            (std::str::from_utf8(&text[..at]).unwrap_or_default(), Some(at))
        }
    };
    let mut reader = Reader {
        plans,
        json: Json::new(checked),
        out,
        depth: options.limits.depth,
        // Each Any may have to be looked through for its type, at every depth.
        look_ahead: text.len().saturating_mul(8),
        unknown: options.unknown,
        limits: options.limits,
    };
    let read = read(&mut reader).and_then(|()| reader.json.end());
    let read = match cut {
        Some(at) => Err(not_utf8(at, read)),
        None => read,
    };
    read.map_err(|fault| violation(text, &fault))
}

fn member(field: &Field) -> String {
    format!(".{}", field.json_name)
}

/// Says in which field a fault is.
#[cold]
fn within(mut fault: Box<Fault>, step: impl FnOnce() -> String) -> Box<Fault> {
    fault.path.push(step());
    fault
}

struct Reader<'a> {
    plans: &'a Plans,
    json: Json<'a>,
    out: &'a mut Vec<u8>,
    /// How much deeper objects and arrays may nest.
    depth: usize,
    /// How many bytes may still be looked through for the type of an Any.
    look_ahead: usize,
    unknown: Unknown,
    limits: Limits,
}

impl<'a> Reader<'a> {
    /// Reads a message in the form that its type has in JSON.
    fn message(&mut self, id: MessageId) -> Result<()> {
        let message = &self.plans.messages[id];
        self.json.peek();
        let start = self.json.at();
        match message.form {
            Form::Fields | Form::Empty => self.members(message, None),
            Form::Wrapper => self.singular(&message.fields[0]),
            Form::Timestamp => {
                let text = self.json.string()?;
                let time =
                    well_known::timestamp(&text).map_err(|problem| fault_at(start, problem))?;
                time.put(self.out);
                Ok(())
            }
            Form::Duration => {
                let text = self.json.string()?;
                let time =
                    well_known::duration(&text).map_err(|problem| fault_at(start, problem))?;
                time.put(self.out);
                Ok(())
            }
            Form::FieldMask => {
                let text = self.json.string()?;
                let paths =
                    well_known::field_mask(&text).map_err(|problem| fault_at(start, problem))?;
                for path in paths {
                    self.out.push(0x0a);
                    put_bytes(self.out, path.as_bytes());
                }
                Ok(())
            }
            Form::Struct => self.structure(),
            Form::ListValue => self.list_value(),
            Form::Value => self.value(),
            Form::Any => self.any(),
        }
    }

    /// Reads an object with a member for each field; the one named `besides` is not a field.
    fn members(&mut self, message: &'a Message, besides: Option<&str>) -> Result<()> {
        self.open(b'{', "is not an object")?;
        let mut seen = Seen::new(message);
        let mut hint = 0;
        if !self.json.take(b'}') {
            loop {
                self.json.peek();
                let at = self.json.at();
                let name = self.name()?;
                match message.find(name.as_bytes(), hint) {
                    Some(found) => {
                        hint = found + 1;
                        let field = &message.fields[found];
                        self.member(message, field, found, at, &mut seen)
                            .map_err(|fault| within(fault, || member(field)))?;
                    }
                    None if besides == Some(&*name) || self.unknown == Unknown::Ignore => {
                        self.json.skip(self.depth)?;
                    }
                    None => {
                        let problem = format!("has no field `{name}`");
                        return Err(fault_at(at, problem));
                    }
                }
                if !self.json.next(b'}')? {
                    break;
                }
            }
        }
        self.close()
    }

    fn member(
        &mut self,
        message: &Message,
        field: &'a Field,
        found: usize,
        at: usize,
        seen: &mut Seen,
    ) -> Result<()> {
        if !seen.first(found) {
            return Err(fault_at(at, "is there twice"));
        }
        if self.json.peek() == b'n' && !(field.shape == Shape::One && self.takes_null(field.kind)) {
            return self.json.word("null");
        }
        let start = self.out.len();
        self.field(field)?;
        // An enum value that is ignored has written nothing, and so set nothing.
        if let Some(oneof) = field.oneof
            && self.out.len() > start
            && !seen.first(message.fields.len() + oneof)
        {
            let name = &message.oneofs[oneof];
            let problem = format!("is of the oneof `{name}`, of which another field is set");
            return Err(fault_at(at, problem));
        }
        Ok(())
    }

    /// Reads a field's value, with its tags.
    fn field(&mut self, field: &'a Field) -> Result<()> {
        self.json.peek();
        match field.shape {
            Shape::One => self.singular(field),
            Shape::Many { packed } => self.list(field, packed),
            Shape::Map => self.map(field),
        }?;
        // Each list and string ends here or in a message that does, so that no more is kept than
        // the limit and what one value of the text can hold.
        if self.out.len() > self.limits.message_bytes {
            return Err(self.too_large());
        }
        Ok(())
    }

    #[cold]
    fn too_large(&self) -> Box<Fault> {
        self.json.fault(format!("the message has more than {} bytes", self.limits.message_bytes))
    }

    /// Reads one value; without presence, a default is left out.
    fn singular(&mut self, field: &'a Field) -> Result<()> {
        let start = self.out.len();
        put_varint(self.out, field.tag().into());
        let set = self.element(field)?;
        if set == Set::Nothing || (set == Set::Default && !field.presence) {
            self.out.truncate(start);
        }
        Ok(())
    }

    /// Reads one value after its tag.
    #[inline]
    fn element(&mut self, field: &'a Field) -> Result<Set> {
        match field.kind {
            Kind::String => {
                let text = self.json.string()?;
                put_bytes(self.out, text.as_bytes());
                Ok(Set::new(!text.is_empty()))
            }
            Kind::Bytes => {
                self.json.peek();
                let start = self.json.at();
                let text = self.json.string()?;
                let Some(bytes) = base64::decode(text.as_bytes()) else {
                    return Err(fault_at(start, "is not base64"));
                };
                put_bytes(self.out, &bytes);
                Ok(Set::new(!bytes.is_empty()))
            }
            Kind::Message(id) => {
                let start = begin(self.out);
                self.message(id)?;
                end(self.out, start);
                Ok(Set::Value)
            }
            Kind::Group(id) => {
                self.message(id)?;
                put_varint(self.out, (field.number << 3 | 4).into());
                Ok(Set::Value)
            }
            kind => {
                let Some(bits) = self.bits(kind)? else { return Ok(Set::Nothing) };
                put_bits(self.out, kind, bits);
                Ok(Set::new(bits != 0))
            }
        }
    }

    /// Reads a scalar that is neither a string nor bytes; none is an enum value that is ignored.
    fn bits(&mut self, kind: Kind) -> Result<Option<u64>> {
        let first = self.json.peek();
        let start = self.json.at();
        match (kind, first) {
            (Kind::Bool, b't') => self.json.word("true").map(|()| Some(1)),
            (Kind::Bool, b'f') => self.json.word("false").map(|()| Some(0)),
            (Kind::Bool, _) => Err(self.json.unexpected("is neither `true` nor `false`")),
            (Kind::Enum(id), b'"') => {
                let name = self.json.string()?;
                match scalar::enum_bits(&self.plans.enums[id], &name) {
                    Some(bits) => Ok(Some(bits)),
                    None if self.unknown == Unknown::Ignore => Ok(None),
                    None => Err(fault_at(start, format!("has no value `{name}`"))),
                }
            }
            (Kind::Enum(id), _) if self.plans.enums[id].null => {
                if first != b'n' {
                    return Err(self.json.unexpected("is not null"));
                }
                self.json.word("null").map(|()| Some(0))
            }
            (_, b'"') => {
                let text = self.json.string()?;
                let bits = scalar::number(kind, &text, true);
                bits.map(Some).map_err(|problem| fault_at(start, problem))
            }
            (_, b'-' | b'0'..=b'9') => {
                let text = self.json.number();
                let bits = scalar::number(kind, text, false);
                bits.map(Some).map_err(|problem| fault_at(start, problem))
            }
            (Kind::Enum(_), _) => Err(self.json.unexpected("is neither a name nor a number")),
            _ => Err(self.json.unexpected("is not a number")),
        }
    }

    /// `google.protobuf.Value` and `NullValue` have a null of their own; elsewhere null is "not there".
    fn takes_null(&self, kind: Kind) -> bool {
        match kind {
            Kind::Message(id) => self.plans.messages[id].form == Form::Value,
            Kind::Enum(id) => self.plans.enums[id].null,
            _ => false,
        }
    }

    /// Reads a member's name and the colon.
    #[inline]
    fn name(&mut self) -> Result<Cow<'a, str>> {
        if self.json.peek() != b'"' {
            return Err(self
                .json
                .unexpected("the text is not JSON: a member has no name in quotes"));
        }
        let name = self.json.string()?;
        self.json.expect(b':', "the text is not JSON: a member has no value")?;
        Ok(name)
    }

    fn open(&mut self, bracket: u8, problem: &'static str) -> Result<()> {
        if self.json.peek() != bracket {
            return Err(self.json.unexpected(problem));
        }
        let Some(depth) = self.depth.checked_sub(1) else {
            return Err(self.json.fault(format!("is nested deeper than {}", self.limits.depth)));
        };
        self.depth = depth;
        self.json.take(bracket);
        Ok(())
    }

    /// Leaves an object or an array, whose end has been read.
    fn close(&mut self) -> Result<()> {
        self.depth += 1;
        Ok(())
    }
}

/// What was read after a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Value,
    Default,
    /// An enum value that nobody knows, and that is ignored.
    Nothing,
}

impl Set {
    fn new(value: bool) -> Self {
        if value { Self::Value } else { Self::Default }
    }
}

/// Which fields and oneofs were there: one bit each.
enum Seen {
    Few(u64),
    Many(Vec<u64>),
}

impl Seen {
    fn new(message: &Message) -> Self {
        let all = message.fields.len() + message.oneofs.len();
        if all <= 64 { Self::Few(0) } else { Self::Many(vec![0; all.div_ceil(64)]) }
    }

    /// Notes it, and says whether that is the first time.
    fn first(&mut self, at: usize) -> bool {
        let (word, bit) = match self {
            Self::Few(word) => (word, 1 << at),
            Self::Many(words) => (&mut words[at / 64], 1 << (at % 64)),
        };
        let first = *word & bit == 0;
        *word |= bit;
        first
    }
}
