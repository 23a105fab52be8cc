//! A message to JSON: one pass over the wire bytes that prints as it goes, driven by the plan.
//!
//! Every serializer in use writes fields by ascending number and a list's elements together, and
//! then nothing has to be kept. Protobuf allows any order, repetition and pieces; a message like
//! that is seen to be one on the way, and printed by a second way that gathers first.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::put_string;
use crate::options::{Enums, Names, Options};
use crate::plan::{Field, Form, Kind, Message, MessageId, Plans, Shape, WireType};
use crate::violation::Broken;
use crate::wire::{Cursor, Item, Malformed};
use crate::{base64, scalar, well_known};

use gathered::{Found, gather};

mod gathered;
mod known;

/// Prints a message.
pub(crate) fn message(
    plans: &Plans,
    id: MessageId,
    wire: &[u8],
    options: &Options,
) -> Result<Vec<u8>, Broken> {
    let mut writer = Writer::new(plans, options, wire);
    writer.message(id, wire, options.limits.depth).map_err(Broken::from)?;
    Ok(writer.out)
}

/// Prints one field of a message; one that is not there is its default value, or null for a message.
pub(crate) fn field(
    plans: &Plans,
    id: MessageId,
    at: usize,
    wire: &[u8],
    options: &Options,
) -> Result<Vec<u8>, Broken> {
    let mut writer = Writer::new(plans, options, wire);
    let message = &plans.messages[id];
    let mut found = gather(message, wire).map_err(Broken::from)?;
    found.retain(|found| found.at == at);
    let field = &message.fields[at];
    if found.is_empty() {
        writer.default(field);
    } else {
        let printed = writer.gathered(field, &found, options.limits.depth);
        printed.map_err(|fault| Broken::from(fault.within(|| member(field))))?;
    }
    Ok(writer.out)
}

/// What is wrong, and the fields around it, innermost first.
struct Fault {
    path: Vec<String>,
    problem: Cow<'static, str>,
}

type Outcome<T> = Result<T, Box<Fault>>;

impl Fault {
    #[cold]
    fn new(problem: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self { path: Vec::new(), problem: problem.into() })
    }

    #[cold]
    fn within(mut self: Box<Self>, step: impl FnOnce() -> String) -> Box<Self> {
        self.path.push(step());
        self
    }
}

impl From<Box<Fault>> for Broken {
    fn from(fault: Box<Fault>) -> Self {
        let field = fault.path.iter().rev().map(String::as_str).collect::<String>();
        Self {
            field: field.strip_prefix('.').unwrap_or(&field).to_owned(),
            problem: fault.problem.into_owned(),
        }
    }
}

impl From<Malformed> for Box<Fault> {
    fn from(cause: Malformed) -> Self {
        Fault::new(cause.to_string())
    }
}

fn member(field: &Field) -> String {
    format!(".{}", field.json_name)
}

/// Whether the first way did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Kept,
    Broken,
}

struct Writer<'a> {
    plans: &'a Plans,
    options: &'a Options,
    out: Vec<u8>,
    /// The keys of the maps that are being printed, as ranges of `out`.
    keys: Vec<Range<usize>>,
}

impl<'a> Writer<'a> {
    fn new(plans: &'a Plans, options: &'a Options, wire: &[u8]) -> Self {
        let room = wire.len().saturating_mul(3) + 64;
        Self { plans, options, out: Vec::with_capacity(room), keys: Vec::new() }
    }

    /// Prints a message in the form that its type has in JSON.
    fn message(&mut self, id: MessageId, wire: &[u8], depth: usize) -> Outcome<()> {
        let message = &self.plans.messages[id];
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Fault::new(format!("is nested deeper than {}", self.options.limits.depth)));
        };
        if self.out.len() > self.options.limits.json_bytes {
            let most = self.options.limits.json_bytes;
            return Err(Fault::new(format!("the text has more than {most} bytes")));
        }
        match message.form {
            Form::Fields | Form::Empty => {
                self.out.push(b'{');
                self.fields(message, wire, depth)?;
                self.out.push(b'}');
                Ok(())
            }
            Form::Struct | Form::ListValue | Form::Wrapper => {
                let field = &message.fields[0];
                let found = gather(message, wire)?;
                if found.is_empty() {
                    self.default(field);
                    return Ok(());
                }
                self.gathered(field, &found, depth)
            }
            Form::Value => self.value(message, wire, depth),
            Form::Timestamp => self.time(wire, well_known::print_timestamp),
            Form::Duration => self.time(wire, well_known::print_duration),
            Form::FieldMask => {
                let mut paths = Vec::new();
                for found in gather(message, wire)? {
                    let path = text(bytes(found.item))?;
                    paths.push(well_known::camel_case(path).map_err(Fault::new)?);
                }
                put_string(&mut self.out, &paths.join(","));
                Ok(())
            }
            Form::Any => self.any(message, wire, depth),
        }
    }

    /// Prints the members of a message, without the braces; whatever stands there already is
    /// followed by a comma if it is not a brace.
    fn fields(&mut self, message: &'a Message, wire: &[u8], depth: usize) -> Outcome<()> {
        let start = self.out.len();
        let keys = self.keys.len();
        if self.in_order(message, wire, depth)? == Order::Kept {
            return Ok(());
        }
        self.out.truncate(start);
        self.keys.truncate(keys);
        let found = gather(message, wire)?;
        let mut next = 0;
        for group in found.chunk_by(|a, b| a.at == b.at) {
            let at = group[0].at;
            self.defaults(message, next..at);
            next = at + 1;
            let field = &message.fields[at];
            if self.is_left_out(field, group)? {
                continue;
            }
            self.key(field);
            self.gathered(field, group, depth).map_err(|fault| fault.within(|| member(field)))?;
        }
        self.defaults(message, next..message.fields.len());
        Ok(())
    }

    /// The first way: prints fields as they come, as long as they come by ascending number.
    fn in_order(&mut self, message: &'a Message, wire: &[u8], depth: usize) -> Outcome<Order> {
        let mut cursor = Cursor::new(wire);
        let mut next = 0;
        let mut open: Option<Open<'a>> = None;
        let mut oneofs = 0_u64;
        while !cursor.is_empty() {
            let (number, wire_type) = cursor.tag()?;
            let hint = open.as_ref().map_or(next, |open| open.at);
            let at = match message.find_number(number, hint) {
                Some(at) => at,
                None => {
                    cursor.item(number, wire_type)?;
                    continue;
                }
            };
            let field = &message.fields[at];
            let more = open.as_ref().is_some_and(|open| open.at == at);
            if !more {
                if let Some(open) = open.take()
                    && self.close(&open) == Order::Broken
                {
                    return Ok(Order::Broken);
                }
                if at < next {
                    return Ok(Order::Broken);
                }
                self.defaults(message, next..at);
                next = at + 1;
                if let Some(oneof) = field.oneof {
                    // Those that do not fit in the bits are left to the second way.
                    if oneof >= 64 || oneofs & 1 << oneof != 0 {
                        return Ok(Order::Broken);
                    }
                    oneofs |= 1 << oneof;
                }
            }
            let item = cursor.item(number, wire_type)?;
            let told = |fault: Box<Fault>| fault.within(|| member(field));
            match field.shape {
                Shape::One => {
                    let found = Found { at, wire_type, item };
                    fits(field, wire_type).map_err(told)?;
                    if !self.is_left_out(field, &[found]).map_err(told)? {
                        self.key(field);
                        self.element(field, item, depth).map_err(told)?;
                    }
                }
                Shape::Many { .. } => {
                    let open =
                        open.get_or_insert_with(|| Open::new(field, at, self.keys.len(), false));
                    self.listed(open, wire_type, item, depth).map_err(told)?;
                }
                Shape::Map => {
                    let open =
                        open.get_or_insert_with(|| Open::new(field, at, self.keys.len(), false));
                    fits(field, wire_type).map_err(told)?;
                    self.more(open);
                    let start = self.out.len();
                    let key = self.entry(field, bytes(item), depth).map_err(told)?;
                    self.keys.push(start..key);
                }
            }
            if self.out.len() > self.options.limits.json_bytes {
                let most = self.options.limits.json_bytes;
                return Err(Fault::new(format!("the text has more than {most} bytes")));
            }
        }
        if let Some(open) = open.take()
            && self.close(&open) == Order::Broken
        {
            return Ok(Order::Broken);
        }
        self.defaults(message, next..message.fields.len());
        Ok(Order::Kept)
    }

    /// Writes what stands in front of one more element: a comma, or the name and a bracket.
    fn more(&mut self, open: &mut Open<'_>) {
        if open.count > 0 {
            self.out.push(b',');
        } else {
            if !open.named {
                self.key(open.field);
            }
            self.out.push(if open.field.shape == Shape::Map { b'{' } else { b'[' });
        }
        open.count += 1;
    }

    /// Ends a list or map. A map with the same key twice has to be printed the second way.
    fn close(&mut self, open: &Open<'_>) -> Order {
        if open.field.shape != Shape::Map {
            if open.count > 0 {
                self.out.push(b']');
            } else if open.named || self.options.defaults {
                if !open.named {
                    self.key(open.field);
                }
                self.out.extend_from_slice(b"[]");
            }
            return Order::Kept;
        }
        self.out.push(b'}');
        let mut keys: Vec<&[u8]> =
            self.keys[open.keys..].iter().map(|key| &self.out[key.clone()]).collect();
        keys.sort_unstable();
        let twice = keys.windows(2).any(|pair| pair[0] == pair[1]);
        self.keys.truncate(open.keys);
        if twice { Order::Broken } else { Order::Kept }
    }

    /// Prints one element of a list, or all of those that are packed.
    fn listed(
        &mut self,
        open: &mut Open<'a>,
        wire_type: WireType,
        item: Item<'_>,
        depth: usize,
    ) -> Outcome<()> {
        let field = open.field;
        if wire_type != field.kind.wire_type()
            && wire_type == WireType::Len
            && !matches!(field.kind, Kind::Group(_))
        {
            let mut packed = Cursor::new(bytes(item));
            while !packed.is_empty() {
                let bits = packed.bits(field.kind)?;
                self.more(open);
                self.scalar(field.kind, bits);
            }
            return Ok(());
        }
        fits(field, wire_type)?;
        self.more(open);
        let index = open.count - 1;
        self.element(field, item, depth).map_err(|fault| fault.within(|| format!("[{index}]")))
    }

    /// Prints one entry of a map, and returns where its key ends.
    fn entry(&mut self, field: &'a Field, wire: &[u8], depth: usize) -> Outcome<usize> {
        let Kind::Message(id) = field.kind else { return Err(Fault::new("is not a map")) };
        let message = &self.plans.messages[id];
        let [key, value] = &*message.fields else { return Err(Fault::new("is not a map")) };
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Fault::new(format!("is nested deeper than {}", self.options.limits.depth)));
        };
        let (mut first, mut last) = (None, None);
        let mut pieces = false;
        let mut cursor = Cursor::new(wire);
        while !cursor.is_empty() {
            let (number, wire_type) = cursor.tag()?;
            let item = cursor.item(number, wire_type)?;
            match number {
                1 => {
                    fits(key, wire_type)?;
                    first = Some(item);
                }
                2 => {
                    fits(value, wire_type)?;
                    pieces = last.replace(item).is_some();
                }
                _ => {}
            }
        }
        let start = self.out.len();
        match (key.kind, first) {
            (Kind::String, item) => put_string(&mut self.out, text(item.map_or(&[], bytes))?),
            (kind, Some(Item::Bits(bits))) => scalar::print_key(&mut self.out, kind, bits),
            (kind, _) => scalar::print_key(&mut self.out, kind, 0),
        }
        let end = self.out.len();
        self.out.push(b':');
        let printed = match (value.kind, last) {
            (_, Some(_)) if pieces => {
                let mut found = gather(message, wire)?;
                found.retain(|found| found.at == 1);
                self.gathered(value, &found, depth)
            }
            (_, Some(item)) => self.element(value, item, depth),
            // A message that is not there is an empty one.
            (Kind::Message(id), None) => self.message(id, &[], depth),
            (_, None) => {
                self.default(value);
                Ok(())
            }
        };
        printed.map_err(|fault| {
            fault.within(|| format!("[{}]", String::from_utf8_lossy(&self.out[start..end])))
        })?;
        Ok(end)
    }

    /// Prints a value that fits its field.
    #[inline]
    fn element(&mut self, field: &'a Field, item: Item<'_>, depth: usize) -> Outcome<()> {
        match (field.kind, item) {
            (Kind::String, Item::Bytes(bytes)) => put_string(&mut self.out, text(bytes)?),
            (Kind::Bytes, Item::Bytes(bytes)) => {
                self.out.push(b'"');
                base64::encode(bytes, &mut self.out);
                self.out.push(b'"');
            }
            (Kind::Message(id) | Kind::Group(id), Item::Bytes(bytes)) => {
                return self.message(id, bytes, depth);
            }
            (kind, Item::Bits(bits)) => self.scalar(kind, bits),
            (_, Item::Bytes(_)) => return Err(Fault::new(NOT_ITS_TYPE)),
        }
        Ok(())
    }

    fn scalar(&mut self, kind: Kind, bits: u64) {
        let numbers = self.options.enums == Enums::Numbers;
        scalar::print(&mut self.out, self.plans, kind, bits, numbers);
    }

    /// Writes a comma where one is due, and the field's name.
    #[inline]
    fn key(&mut self, field: &Field) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.extend_from_slice(match self.options.names {
            Names::Json => &field.json_key,
            Names::Original => &field.original_key,
        });
    }

    /// Without presence, a value that is the default is not there.
    #[inline]
    fn is_left_out(&self, field: &Field, found: &[Found<'_>]) -> Outcome<bool> {
        if self.options.defaults || field.presence {
            return Ok(false);
        }
        let Some(last) = found.last() else { return Ok(true) };
        Ok(match (field.shape, last.item) {
            (Shape::One, Item::Bits(bits)) => scalar::is_default(field.kind, bits),
            (Shape::One, Item::Bytes(bytes)) => bytes.is_empty(),
            (Shape::Many { .. }, _) => {
                // Packed lists may be empty.
                found.iter().all(|found| {
                    found.wire_type != field.kind.wire_type() && found.item == Item::Bytes(&[])
                })
            }
            (Shape::Map, _) => false,
        })
    }

    /// Prints the fields that are not there, if that is wanted and they have no presence.
    #[inline]
    fn defaults(&mut self, message: &Message, range: Range<usize>) {
        if !self.options.defaults {
            return;
        }
        for field in &message.fields[range] {
            if !field.presence && !field.extension {
                self.key(field);
                self.default(field);
            }
        }
    }

    fn default(&mut self, field: &Field) {
        match (field.shape, field.kind) {
            (Shape::Many { .. }, _) => self.out.extend_from_slice(b"[]"),
            (Shape::Map, _) => self.out.extend_from_slice(b"{}"),
            (_, Kind::String | Kind::Bytes) => self.out.extend_from_slice(b"\"\""),
            (_, Kind::Message(_) | Kind::Group(_)) => self.out.extend_from_slice(b"null"),
            (_, kind) => self.scalar(kind, 0),
        }
    }
}

/// A list or map that is being printed.
struct Open<'a> {
    field: &'a Field,
    at: usize,
    /// How many elements are printed.
    count: usize,
    /// Where its keys begin in [`Writer::keys`].
    keys: usize,
    /// Whether its name stands already.
    named: bool,
}

impl<'a> Open<'a> {
    fn new(field: &'a Field, at: usize, keys: usize, named: bool) -> Self {
        Self { field, at, count: 0, keys, named }
    }
}

const NOT_ITS_TYPE: &str = "stands on the wire as another type than the descriptors say";

fn fits(field: &Field, wire_type: WireType) -> Outcome<()> {
    if wire_type == field.kind.wire_type() { Ok(()) } else { Err(Fault::new(NOT_ITS_TYPE)) }
}

fn bytes(item: Item<'_>) -> &[u8] {
    match item {
        Item::Bytes(bytes) => bytes,
        Item::Bits(_) => &[],
    }
}

fn text(bytes: &[u8]) -> Outcome<&str> {
    std::str::from_utf8(bytes).map_err(|_| Fault::new("is a string that is not UTF-8"))
}
