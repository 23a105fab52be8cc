//! A field that the path or the query sets: its trail through the messages, and its text.
//!
//! What parameters set is appended to the message: on the wire a later value of a field wins, a
//! later part of a message is merged, and a later value of a list is one more.

use std::borrow::Cow;

use crate::base64::decode;
use crate::plan::{Field, Form, Kind, MessageId, Plans, Shape};
use crate::wire::{begin, end, put_bits, put_bytes, put_varint};
use crate::{scalar, well_known};

/// The way from a message to one of its fields, or to a field of one of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trail {
    steps: Vec<(MessageId, usize)>,
}

/// Why a name leads to no field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lost {
    /// There is no such field.
    Unknown,
    /// There is one, and no text can set it.
    Unfit(&'static str),
}

impl Trail {
    /// Finds a field by its path, such as `order.customer_id`.
    pub(crate) fn find(plans: &Plans, root: MessageId, path: &str) -> Result<Self, Lost> {
        let mut steps = Vec::new();
        let mut message = Some(root);
        for name in path.split('.') {
            let id = message.ok_or(Lost::Unfit("is a field of something that has no fields"))?;
            let of = &plans.messages[id];
            if of.form != Form::Fields {
                return Err(Lost::Unfit("is a field of a well-known type: give that as a whole"));
            }
            let at = of.find(name.as_bytes(), 0).ok_or(Lost::Unknown)?;
            let field = &of.fields[at];
            steps.push((id, at));
            message = match (field.kind, field.shape) {
                (Kind::Message(inner) | Kind::Group(inner), Shape::One) => Some(inner),
                _ => None,
            };
        }
        let trail = Self { steps };
        let field = trail.field(plans);
        let unfit = match (field.kind, field.shape) {
            (_, Shape::Map) => Some("is a map: it can stand in the body only"),
            (Kind::Message(id) | Kind::Group(id), _) => match plans.messages[id].form {
                Form::Timestamp | Form::Duration | Form::FieldMask | Form::Wrapper => None,
                _ => Some("is a message: name one of its fields, or put it in the body"),
            },
            _ => None,
        };
        unfit.map_or(Ok(trail), |problem| Err(Lost::Unfit(problem)))
    }

    /// The field at its end.
    pub(crate) fn field<'p>(&self, plans: &'p Plans) -> &'p Field {
        let (message, at) = self.steps[self.steps.len() - 1];
        &plans.messages[message].fields[at]
    }

    /// The place of its first field in the root message.
    pub(crate) fn first(&self) -> usize {
        self.steps[0].1
    }

    /// Its fields by their JSON names.
    pub(crate) fn display(&self, plans: &Plans) -> String {
        let name =
            |(message, at): &(MessageId, usize)| &*plans.messages[*message].fields[*at].json_name;
        self.steps.iter().map(name).collect::<Vec<_>>().join(".")
    }

    /// The oneof that both set different members of, by name.
    pub(crate) fn clash<'p>(&self, other: &Self, plans: &'p Plans) -> Option<&'p str> {
        let (mine, theirs) =
            self.steps.iter().zip(&other.steps).find(|(mine, theirs)| mine != theirs)?;
        let message = &plans.messages[mine.0];
        let oneof = message.fields[mine.1].oneof?;
        (message.fields[theirs.1].oneof == Some(oneof)).then(|| &*message.oneofs[oneof])
    }

    /// Appends the field with what the text says.
    pub(crate) fn put(
        &self,
        plans: &Plans,
        text: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), Cow<'static, str>> {
        put_step(plans, &self.steps, text, out)
    }
}

fn put_step(
    plans: &Plans,
    steps: &[(MessageId, usize)],
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), Cow<'static, str>> {
    let [(message, at), inner @ ..] = steps else { return Ok(()) };
    let field = &plans.messages[*message].fields[*at];
    put_varint(out, field.tag().into());
    let value = |out: &mut Vec<u8>| match field.kind {
        Kind::Message(id) | Kind::Group(id) if inner.is_empty() => {
            put_well_known(plans, id, text, out)
        }
        _ => put_step(plans, inner, text, out),
    };
    match field.kind {
        Kind::Message(_) => {
            let start = begin(out);
            value(out)?;
            end(out, start);
            Ok(())
        }
        Kind::Group(_) => {
            value(out)?;
            put_varint(out, u64::from(field.number << 3 | 4));
            Ok(())
        }
        kind => put_scalar(plans, kind, text, out),
    }
}

/// Appends the fields of a well-known type that has a text.
fn put_well_known(
    plans: &Plans,
    id: MessageId,
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), Cow<'static, str>> {
    let message = &plans.messages[id];
    match message.form {
        Form::Timestamp => well_known::timestamp(text)?.put(out),
        Form::Duration => well_known::duration(text)?.put(out),
        Form::FieldMask => {
            for path in well_known::field_mask(text)? {
                out.push(0x0a);
                put_bytes(out, path.as_bytes());
            }
        }
        _ => {
            put_varint(out, message.fields[0].tag().into());
            put_scalar(plans, message.fields[0].kind, text, out)?;
        }
    }
    Ok(())
}

fn put_scalar(
    plans: &Plans,
    kind: Kind,
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), Cow<'static, str>> {
    let bits = match kind {
        Kind::String => {
            put_bytes(out, text.as_bytes());
            return Ok(());
        }
        Kind::Bytes => {
            put_bytes(out, &decode(text.as_bytes()).ok_or("is not base64")?);
            return Ok(());
        }
        Kind::Bool => match text {
            "true" => 1,
            "false" => 0,
            _ => return Err("is neither `true` nor `false`".into()),
        },
        // In a text a number and a name cannot be told apart by quotes.
        Kind::Enum(id) => match scalar::enum_bits(&plans.enums[id], text) {
            Some(bits) => bits,
            None => {
                scalar::number(kind, text, true).map_err(|_| format!("has no value `{text}`"))?
            }
        },
        kind => scalar::number(kind, text, true)?,
    };
    put_bits(out, kind, bits);
    Ok(())
}
