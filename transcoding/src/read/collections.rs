//! Lists and maps.

use super::{Reader, Set, within};
use crate::json::{Result, fault_at};
use crate::plan::{Field, Kind};
use crate::scalar;
use crate::wire::{begin, end, put_bits, put_bytes, put_varint};

impl<'a> Reader<'a> {
    pub(super) fn list(&mut self, field: &'a Field, packed: bool) -> Result<()> {
        self.open(b'[', "is not an array")?;
        if self.json.take(b']') {
            return self.close();
        }
        let before = self.out.len();
        let packed = packed.then(|| {
            put_varint(self.out, u64::from(field.number << 3 | 2));
            begin(self.out)
        });
        let mut index = 0_usize;
        loop {
            self.listed(field, packed.is_some())
                .map_err(|fault| within(fault, || format!("[{index}]")))?;
            index += 1;
            if self.out.len() > self.limits.message_bytes {
                return Err(self.too_large());
            }
            if !self.json.next(b']')? {
                break;
            }
        }
        if let Some(start) = packed {
            if start == self.out.len() {
                // Every element was ignored.
                self.out.truncate(before);
            } else {
                end(self.out, start);
            }
        }
        self.close()
    }

    fn listed(&mut self, field: &'a Field, packed: bool) -> Result<()> {
        if self.json.peek() == b'n' && !self.takes_null(field.kind) {
            return Err(self.json.fault("is null, which no element of a list can be"));
        }
        if packed {
            self.element(field)?;
            return Ok(());
        }
        let start = self.out.len();
        put_varint(self.out, field.tag().into());
        if self.element(field)? == Set::Nothing {
            self.out.truncate(start);
        }
        Ok(())
    }

    pub(super) fn map(&mut self, field: &'a Field) -> Result<()> {
        let Kind::Message(entry) = field.kind else {
            return Err(self.json.fault("is a map of a kind that there is not"));
        };
        let [key, value] = &*self.plans.messages[entry].fields else {
            return Err(self.json.fault("is a map of a kind that there is not"));
        };
        self.open(b'{', "is not an object")?;
        if self.json.take(b'}') {
            return self.close();
        }
        loop {
            self.json.peek();
            let at = self.json.at();
            let name = self.name()?;
            let start = self.out.len();
            put_varint(self.out, field.tag().into());
            let entry = begin(self.out);
            let set = self
                .entry_key(key, &name, at)
                .and_then(|()| self.entry_value(value))
                .map_err(|fault| within(fault, || format!("[{name:?}]")))?;
            end(self.out, entry);
            if set == Set::Nothing {
                self.out.truncate(start);
            }
            if self.out.len() > self.limits.message_bytes {
                return Err(self.too_large());
            }
            if !self.json.next(b'}')? {
                return self.close();
            }
        }
    }

    fn entry_key(&mut self, key: &Field, name: &str, at: usize) -> Result<()> {
        put_varint(self.out, key.tag().into());
        let bits = match key.kind {
            Kind::String => {
                put_bytes(self.out, name.as_bytes());
                return Ok(());
            }
            Kind::Bool => match name {
                "true" => 1,
                "false" => 0,
                _ => return Err(fault_at(at, "has a key that is neither `true` nor `false`")),
            },
            kind => scalar::number(kind, name, true)
                .map_err(|problem| fault_at(at, format!("has a key that {problem}")))?,
        };
        put_bits(self.out, key.kind, bits);
        Ok(())
    }

    fn entry_value(&mut self, value: &'a Field) -> Result<Set> {
        if self.json.peek() == b'n' && !self.takes_null(value.kind) {
            return Err(self.json.fault("is null, which no value of a map can be"));
        }
        put_varint(self.out, value.tag().into());
        self.element(value)
    }
}
