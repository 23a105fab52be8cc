//! Struct, Value, ListValue and Any: the well-known types that can hold whatever JSON has.

use std::borrow::Cow;

use super::{Reader, within};
use crate::json::{Result, fault_at};
use crate::options::Unknown;
use crate::plan::{Form, Kind, MessageId};
use crate::wire::{begin, end, put_bits, put_bytes};
use crate::{bundled, scalar};

impl<'a> Reader<'a> {
    /// Reads a `google.protobuf.Struct`: a map from names to values.
    pub(super) fn structure(&mut self) -> Result<()> {
        self.open(b'{', "is not an object")?;
        if self.json.take(b'}') {
            return self.close();
        }
        loop {
            self.json.peek();
            let name = self.name()?;
            self.out.push(0x0a);
            let entry = begin(self.out);
            self.out.push(0x0a);
            put_bytes(self.out, name.as_bytes());
            self.out.push(0x12);
            let value = begin(self.out);
            self.value().map_err(|fault| within(fault, || format!("[{name:?}]")))?;
            end(self.out, value);
            end(self.out, entry);
            if self.out.len() > self.limits.message_bytes {
                return Err(self.too_large());
            }
            if !self.json.next(b'}')? {
                return self.close();
            }
        }
    }

    /// Reads a `google.protobuf.ListValue`.
    pub(super) fn list_value(&mut self) -> Result<()> {
        self.open(b'[', "is not an array")?;
        if self.json.take(b']') {
            return self.close();
        }
        let mut index = 0_usize;
        loop {
            self.out.push(0x0a);
            let value = begin(self.out);
            self.value().map_err(|fault| within(fault, || format!("[{index}]")))?;
            end(self.out, value);
            index += 1;
            if self.out.len() > self.limits.message_bytes {
                return Err(self.too_large());
            }
            if !self.json.next(b']')? {
                return self.close();
            }
        }
    }

    /// Reads a `google.protobuf.Value`: whatever JSON has.
    pub(super) fn value(&mut self) -> Result<()> {
        let first = self.json.peek();
        let start = self.json.at();
        match first {
            b'n' => {
                self.json.word("null")?;
                self.out.extend_from_slice(&[0x08, 0]);
            }
            b't' => {
                self.json.word("true")?;
                self.out.extend_from_slice(&[0x20, 1]);
            }
            b'f' => {
                self.json.word("false")?;
                self.out.extend_from_slice(&[0x20, 0]);
            }
            b'"' => {
                let text = self.json.string()?;
                self.out.push(0x1a);
                put_bytes(self.out, text.as_bytes());
            }
            b'{' => {
                self.out.push(0x2a);
                let inner = begin(self.out);
                self.structure()?;
                end(self.out, inner);
            }
            b'[' => {
                self.out.push(0x32);
                let inner = begin(self.out);
                self.list_value()?;
                end(self.out, inner);
            }
            b'-' | b'0'..=b'9' => {
                let text = self.json.number();
                let bits = scalar::number(Kind::Double, text, false);
                self.out.push(0x11);
                put_bits(self.out, Kind::Double, bits.map_err(|problem| fault_at(start, problem))?);
            }
            _ => return Err(self.json.unexpected("has no value")),
        }
        Ok(())
    }

    /// Reads a `google.protobuf.Any`: an object that names its type, and has the fields of it, or
    /// `value` where the type has a form of its own.
    pub(super) fn any(&mut self) -> Result<()> {
        let start = self.json.at();
        let Some(url) = self.type_of_any()? else {
            self.open(b'{', "is not an object")?;
            return if self.json.take(b'}') {
                self.close()
            } else {
                Err(fault_at(start, "has no member `@type`, which says what is in it"))
            };
        };
        let name = url.rsplit_once('/').map(|(_, name)| name);
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(fault_at(
                start,
                format!("has the type `{url}`: write `type.googleapis.com/` and a message"),
            ));
        };
        let own = self.plans.find(name).map(|id| (self.plans, id));
        let found =
            own.or_else(|| bundled::STANDARD.find(name).map(|id| (&*bundled::STANDARD, id)));
        let Some((plans, id)) = found else {
            return Err(fault_at(
                start,
                format!("has the type `{name}`, which the descriptors do not have"),
            ));
        };
        self.out.push(0x0a);
        put_bytes(self.out, url.as_bytes());
        let tag = self.out.len();
        self.out.push(0x12);
        let value = begin(self.out);
        let around = std::mem::replace(&mut self.plans, plans);
        let message = &plans.messages[id];
        match message.form {
            Form::Fields => self.members(message, Some("@type"))?,
            form => self.any_value(id, form)?,
        }
        self.plans = around;
        if self.out.len() == value {
            self.out.truncate(tag);
        } else {
            end(self.out, value);
        }
        Ok(())
    }

    /// Reads `{"@type": …, "value": …}`.
    fn any_value(&mut self, id: MessageId, form: Form) -> Result<()> {
        self.open(b'{', "is not an object")?;
        let mut there = false;
        // It is not empty: it has its type.
        loop {
            self.json.peek();
            let at = self.json.at();
            let name = self.name()?;
            match &*name {
                "value" if there => return Err(fault_at(at, "has `value` twice")),
                "value" => {
                    there = true;
                    self.message(id).map_err(|fault| within(fault, || ".value".to_owned()))?;
                }
                "@type" => self.json.skip(self.depth)?,
                _ if self.unknown == Unknown::Ignore => self.json.skip(self.depth)?,
                _ => return Err(fault_at(at, format!("has no field `{name}`, only `value`"))),
            }
            if !self.json.next(b'}')? {
                break;
            }
        }
        if !there && form != Form::Empty {
            return Err(self.json.fault("has no member `value`"));
        }
        self.close()
    }

    /// Looks through an object for `@type`, and goes back to its start.
    fn type_of_any(&mut self) -> Result<Option<Cow<'a, str>>> {
        let mut ahead = self.json.clone();
        let start = ahead.at();
        if !ahead.take(b'{') {
            return Err(self.json.unexpected("is not an object"));
        }
        let mut url = None;
        while ahead.peek() == b'"' {
            let at = ahead.at();
            let name = ahead.string()?;
            ahead.expect(b':', "is a member without a value")?;
            if name == "@type" {
                url = Some(ahead.string().map_err(|fault| within(fault, || ".@type".to_owned()))?);
                break;
            }
            ahead.skip(self.depth)?;
            if ahead.at() - start > self.look_ahead {
                return Err(fault_at(at, "stands before `@type`: put that first"));
            }
            if !ahead.take(b',') {
                break;
            }
        }
        self.look_ahead = self.look_ahead.saturating_sub(ahead.at() - start);
        Ok(url)
    }
}
