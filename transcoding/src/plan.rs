//! What is compiled of descriptors once, so that a message costs one pass over its bytes.
//!
//! A plan has no options in it: it knows both names of every field, and serves every route.

use std::collections::HashMap;

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor,
    Kind as Type, MessageDescriptor,
};

/// A message's place in [`Plans::messages`].
pub(crate) type MessageId = usize;
/// An enum's place in [`Plans::enums`].
pub(crate) type EnumId = usize;

/// The plans of every message and enum of a descriptor pool.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    pub(crate) messages: Vec<Message>,
    pub(crate) enums: Vec<Enum>,
    by_name: HashMap<Box<str>, MessageId>,
}

/// How one message type is read and written.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: Box<str>,
    pub(crate) form: Form,
    /// By ascending number, extensions among them.
    pub(crate) fields: Vec<Field>,
    /// The oneofs that were written as such, by name.
    pub(crate) oneofs: Vec<Box<str>>,
    /// Every name that a client may use, sorted by length and bytes.
    names: Vec<(Box<[u8]>, usize)>,
}

/// What a message looks like in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An object with a member for each field.
    Fields,
    Any,
    Timestamp,
    Duration,
    FieldMask,
    /// The value of its one field.
    Wrapper,
    Struct,
    Value,
    ListValue,
    Empty,
}

/// How one field is read and written.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) name: Box<str>,
    pub(crate) json_name: Box<str>,
    /// The names as JSON members: quoted and escaped, with the colon.
    pub(crate) json_key: Box<[u8]>,
    pub(crate) original_key: Box<[u8]>,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    /// Whether "not there" differs from "has its default value".
    pub(crate) presence: bool,
    /// The place of the oneof that it is a member of.
    pub(crate) oneof: Option<usize>,
    pub(crate) extension: bool,
}

/// How often a field may stand in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    Many {
        packed: bool,
    },
    /// The kind is the entry's message.
    Map,
}

/// A field's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    Group(MessageId),
}

/// How a value stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Len = 2,
    Group = 3,
    Fixed32 = 5,
}

/// The values of an enum.
#[derive(Debug)]
pub(crate) struct Enum {
    /// `google.protobuf.NullValue`, which is `null` in JSON.
    pub(crate) null: bool,
    /// By number; the first name of a number is the one that is printed.
    by_number: Vec<(i32, Box<str>)>,
    by_name: HashMap<Box<str>, i32>,
}

impl Kind {
    pub(crate) fn wire_type(self) -> WireType {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => WireType::Fixed64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => WireType::Fixed32,
            Self::String | Self::Bytes | Self::Message(_) => WireType::Len,
            Self::Group(_) => WireType::Group,
            _ => WireType::Varint,
        }
    }
}

impl Field {
    /// The field's tag for one value of it.
    pub(crate) fn tag(&self) -> u32 {
        self.number << 3 | self.kind.wire_type() as u32
    }
}

impl Message {
    /// Finds a field by either name; `hint` is where it is looked for first.
    pub(crate) fn find(&self, name: &[u8], hint: usize) -> Option<usize> {
        if let Some(field) = self.fields.get(hint)
            && field.json_name.as_bytes() == name
        {
            return Some(hint);
        }
        let key = (name.len(), name);
        let at =
            self.names.binary_search_by(|(known, _)| (known.len(), &**known).cmp(&key)).ok()?;
        Some(self.names[at].1)
    }

    /// Finds a field by its number; `hint` is where it is looked for first.
    pub(crate) fn find_number(&self, number: u32, hint: usize) -> Option<usize> {
        if self.fields.get(hint).is_some_and(|field| field.number == number) {
            return Some(hint);
        }
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }
}

impl Enum {
    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn name(&self, number: i32) -> Option<&str> {
        let at = self.by_number.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.by_number[at].1)
    }
}

impl Plans {
    /// Compiles every message of the pool.
    pub(crate) fn new(pool: &DescriptorPool) -> Self {
        // Ids first, so that messages may name each other.
        let by_name =
            pool.all_messages().enumerate().map(|(id, m)| (m.full_name().into(), id)).collect();
        let enums: HashMap<String, EnumId> =
            pool.all_enums().enumerate().map(|(id, e)| (e.full_name().to_owned(), id)).collect();
        let mut plans = Self { by_name, ..Self::default() };
        plans.enums = pool.all_enums().map(|e| Enum::new(&e)).collect();
        let messages = pool.all_messages().map(|m| Message::new(&m, &plans.by_name, &enums));
        plans.messages = messages.collect();
        plans
    }

    /// Finds a message by its full name.
    pub(crate) fn find(&self, name: &str) -> Option<MessageId> {
        self.by_name.get(name).copied()
    }
}

impl Enum {
    fn new(descriptor: &EnumDescriptor) -> Self {
        // As the file has them; the descriptor's own order is another one.
        let written = descriptor.enum_descriptor_proto().value.iter();
        let mut by_number: Vec<(i32, Box<str>)> =
            written.map(|value| (value.number(), value.name().into())).collect();
        // Stable, so that the first of several names for a number stays the first.
        by_number.sort_by_key(|(number, _)| *number);
        by_number.dedup_by_key(|(number, _)| *number);
        Self {
            null: descriptor.full_name() == "google.protobuf.NullValue",
            by_number,
            by_name: descriptor.values().map(|v| (v.name().into(), v.number())).collect(),
        }
    }
}

type Ids<'a> = (&'a HashMap<Box<str>, MessageId>, &'a HashMap<String, EnumId>);

impl Message {
    fn new(
        descriptor: &MessageDescriptor,
        messages: &HashMap<Box<str>, MessageId>,
        enums: &HashMap<String, EnumId>,
    ) -> Self {
        // A proto3 `optional` is a oneof only in the descriptor.
        let oneofs: Vec<_> = descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()).collect();
        let own = descriptor.fields().map(|field| {
            let oneof = field
                .containing_oneof()
                .and_then(|oneof| oneofs.iter().position(|known| *known == oneof));
            Field::own(&field, oneof, (messages, enums))
        });
        let extensions = descriptor
            .extensions()
            .map(|extension| Field::extension(&extension, (messages, enums)));
        let mut fields: Vec<Field> = own.chain(extensions).collect();
        fields.sort_by_key(|field| field.number);

        let mut names: Vec<(Box<[u8]>, usize)> = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            names.push((field.json_name.as_bytes().into(), at));
        }
        // A JSON name wins over another field's original name.
        for (at, field) in fields.iter().enumerate().filter(|(_, field)| !field.extension) {
            if names.iter().all(|(known, _)| **known != *field.name.as_bytes()) {
                names.push((field.name.as_bytes().into(), at));
            }
        }
        names.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));

        Self {
            name: descriptor.full_name().into(),
            form: Form::of(descriptor.full_name(), &fields),
            fields,
            oneofs: oneofs.iter().map(|oneof| oneof.name().into()).collect(),
            names,
        }
    }
}

impl Form {
    /// Only a message that has the name *and* the fields of a well-known type is one.
    fn of(name: &str, fields: &[Field]) -> Self {
        let Some(short) = name.strip_prefix("google.protobuf.") else { return Self::Fields };
        let is = |expected: &[(u32, Kind)]| {
            fields.len() == expected.len()
                && fields.iter().zip(expected).all(|(field, (number, kind))| {
                    field.number == *number && field.kind == *kind && field.shape == Shape::One
                })
        };
        let only =
            |shape: Shape| fields.len() == 1 && fields[0].number == 1 && fields[0].shape == shape;
        let many = Shape::Many { packed: false };
        let time = &[(1, Kind::Int64), (2, Kind::Int32)];
        let (fits, form) = match short {
            "Any" => (is(&[(1, Kind::String), (2, Kind::Bytes)]), Self::Any),
            "Timestamp" => (is(time), Self::Timestamp),
            "Duration" => (is(time), Self::Duration),
            "FieldMask" => (only(many) && fields[0].kind == Kind::String, Self::FieldMask),
            "DoubleValue" => (is(&[(1, Kind::Double)]), Self::Wrapper),
            "FloatValue" => (is(&[(1, Kind::Float)]), Self::Wrapper),
            "Int32Value" => (is(&[(1, Kind::Int32)]), Self::Wrapper),
            "Int64Value" => (is(&[(1, Kind::Int64)]), Self::Wrapper),
            "UInt32Value" => (is(&[(1, Kind::Uint32)]), Self::Wrapper),
            "UInt64Value" => (is(&[(1, Kind::Uint64)]), Self::Wrapper),
            "BoolValue" => (is(&[(1, Kind::Bool)]), Self::Wrapper),
            "StringValue" => (is(&[(1, Kind::String)]), Self::Wrapper),
            "BytesValue" => (is(&[(1, Kind::Bytes)]), Self::Wrapper),
            "Struct" => (only(Shape::Map), Self::Struct),
            "ListValue" => (only(many), Self::ListValue),
            "Value" => (fields.len() == 6 && fields[5].number == 6, Self::Value),
            "Empty" => (fields.is_empty(), Self::Empty),
            _ => (false, Self::Fields),
        };
        if fits { form } else { Self::Fields }
    }
}

impl Field {
    fn own(field: &FieldDescriptor, oneof: Option<usize>, ids: Ids<'_>) -> Self {
        Self {
            number: field.number(),
            name: field.name().into(),
            json_name: field.json_name().into(),
            json_key: key(field.json_name()),
            original_key: key(field.name()),
            kind: Kind::new(&field.kind(), field.is_group(), ids),
            shape: if field.is_map() {
                Shape::Map
            } else if field.is_list() {
                Shape::Many { packed: field.is_packed() }
            } else {
                Shape::One
            },
            presence: field.supports_presence(),
            oneof,
            extension: false,
        }
    }

    fn extension(field: &ExtensionDescriptor, ids: Ids<'_>) -> Self {
        Self {
            number: field.number(),
            name: field.json_name().into(),
            json_name: field.json_name().into(),
            json_key: key(field.json_name()),
            original_key: key(field.json_name()),
            kind: Kind::new(&field.kind(), field.is_group(), ids),
            shape: if field.cardinality() == Cardinality::Repeated {
                Shape::Many { packed: field.is_packed() }
            } else {
                Shape::One
            },
            presence: field.supports_presence(),
            oneof: None,
            extension: true,
        }
    }
}

/// A name as a JSON member.
fn key(name: &str) -> Box<[u8]> {
    format!("{}:", serde_json::Value::from(name)).into_bytes().into()
}

impl Kind {
    fn new(kind: &Type, group: bool, (messages, enums): Ids<'_>) -> Self {
        match kind {
            Type::Double => Self::Double,
            Type::Float => Self::Float,
            Type::Int32 => Self::Int32,
            Type::Int64 => Self::Int64,
            Type::Uint32 => Self::Uint32,
            Type::Uint64 => Self::Uint64,
            Type::Sint32 => Self::Sint32,
            Type::Sint64 => Self::Sint64,
            Type::Fixed32 => Self::Fixed32,
            Type::Fixed64 => Self::Fixed64,
            Type::Sfixed32 => Self::Sfixed32,
            Type::Sfixed64 => Self::Sfixed64,
            Type::Bool => Self::Bool,
            Type::String => Self::String,
            Type::Bytes => Self::Bytes,
            Type::Enum(descriptor) => Self::Enum(enums[descriptor.full_name()]),
            Type::Message(descriptor) if group => Self::Group(messages[descriptor.full_name()]),
            Type::Message(descriptor) => Self::Message(messages[descriptor.full_name()]),
        }
    }
}
