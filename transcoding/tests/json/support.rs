//! A service with a method for each message, and the reference.

use std::sync::{Arc, LazyLock};

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, Kind, MessageDescriptor,
    ReflectMessage as _, SerializeOptions, Value,
};
use transcoding::{Binding, Descriptors, Enums, Names, Options, Request, Unknown, Violation};

/// Compiles one .proto text.
pub(crate) fn compiled(proto: &'static str) -> Descriptors {
    let source = |name: &str| Ok((name == "t.proto").then(|| proto.to_owned()));
    Descriptors::compile(["t.proto"], source).unwrap()
}

/// The messages of the tests, and the same for the reference.
pub(crate) struct World {
    pub(crate) descriptors: Descriptors,
    pool: DescriptorPool,
}

/// Everything that the mapping has a row for; each message is what a method of its name is given
/// and answers.
pub(crate) static WORLD: LazyLock<World> = LazyLock::new(|| World::new(include_str!("t.proto")));

impl World {
    pub(crate) fn new(proto: &'static str) -> Self {
        let mut compiler = protox::Compiler::with_file_resolver(Sources(proto));
        compiler.include_imports(true).include_source_info(true).open_file("t.proto").unwrap();
        let set = compiler.encode_file_descriptor_set();
        Self { descriptors: Descriptors::from_set(&set).unwrap(), pool: compiler.descriptor_pool() }
    }

    pub(crate) fn binding(&self, message: &str) -> Binding {
        let method = self.descriptors.method(&format!("t.T/{message}")).unwrap();
        Binding::of_method(&self.descriptors, &Arc::clone(method))
    }

    pub(crate) fn descriptor(&self, message: &str) -> MessageDescriptor {
        self.pool.get_message_by_name(&format!("t.{message}")).unwrap()
    }

    /// Reads JSON, and holds the bytes against what the reference makes of it.
    pub(crate) fn read(&self, message: &str, json: &str) -> Vec<u8> {
        let options = Options::default();
        let wire = read(&self.binding(message), json, &options).unwrap();
        let theirs = reference_read(&self.descriptor(message), json, &options).unwrap();
        let ours = reference_decode(&self.descriptor(message), &wire).unwrap();
        // Not `assert_eq`: a descriptor's `Debug` does not end where a message contains itself.
        assert!(ours == settled(&theirs), "{message}: {json}");
        wire
    }

    pub(crate) fn print(&self, message: &str, wire: &[u8], options: &Options) -> String {
        let printed = self.binding(message).response(wire, options).unwrap();
        String::from_utf8(printed.to_vec()).unwrap()
    }

    /// Reads JSON and prints it again.
    pub(crate) fn round(&self, message: &str, json: &str) -> String {
        self.print(message, &self.read(message, json), &Options::default())
    }

    pub(crate) fn refused(&self, message: &str, json: &str) -> Violation {
        let options = Options::default();
        read(&self.binding(message), json, &options).expect_err(json)
    }
}

struct Sources(&'static str);

impl protox::file::FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        match name {
            "t.proto" => protox::file::File::from_source(name, self.0),
            _ => protox::file::GoogleFileResolver::new().open_file(name),
        }
    }
}

pub(crate) fn read(binding: &Binding, json: &str, options: &Options) -> Result<Vec<u8>, Violation> {
    let request = Request { body: json.as_bytes(), ..Request::default() };
    binding.request(&request, options).map(|wire| wire.to_vec())
}

pub(crate) fn reference_read(
    descriptor: &MessageDescriptor,
    json: &str,
    options: &Options,
) -> Result<DynamicMessage, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let refuse = options.unknown == Unknown::Refuse;
    let options = DeserializeOptions::new().deny_unknown_fields(refuse);
    let read =
        DynamicMessage::deserialize_with_options(descriptor.clone(), &mut deserializer, &options);
    let message = read.map_err(|cause| cause.to_string())?;
    deserializer.end().map_err(|cause| cause.to_string())?;
    Ok(message)
}

pub(crate) fn reference_print(
    message: &DynamicMessage,
    options: &Options,
) -> Result<serde_json::Value, String> {
    let options = SerializeOptions::new()
        .use_enum_numbers(options.enums == Enums::Numbers)
        .use_proto_field_name(options.names == Names::Original)
        .skip_default_fields(!options.defaults);
    let mut serializer = serde_json::Serializer::new(Vec::new());
    message.serialize_with_options(&mut serializer, &options).map_err(|cause| cause.to_string())?;
    Ok(serde_json::from_slice(&serializer.into_inner()).unwrap())
}

/// A message as it arrives: what has its default value is not there.
pub(crate) fn settled(message: &DynamicMessage) -> DynamicMessage {
    reference_decode(&message.descriptor(), &message.encode_to_vec()).unwrap()
}

/// Decodes as the reference does.
pub(crate) fn reference_decode(
    descriptor: &MessageDescriptor,
    wire: &[u8],
) -> Result<DynamicMessage, String> {
    DynamicMessage::decode(descriptor.clone(), wire).map_err(|cause| cause.to_string())
}

/// Whether the reference takes for a map what is none: it reads an entry's length after a tag of
/// any wire type, where everything else reads an unknown field.
pub(crate) fn misread_as_map(descriptor: &MessageDescriptor, wire: &[u8]) -> bool {
    has_misread_map(descriptor, wire)
        || reference_decode(descriptor, wire).is_ok_and(|message| misreads_an_any(&message))
}

fn has_misread_map(descriptor: &MessageDescriptor, mut wire: &[u8]) -> bool {
    while let Ok((number, wire_type)) = decode_key(&mut wire) {
        let field = descriptor.get_field(number);
        if wire_type != WireType::LengthDelimited {
            if field.is_some_and(|field| field.is_map()) {
                return true;
            }
            if skip_field(wire_type, number, &mut wire, DecodeContext::default()).is_err() {
                break;
            }
            continue;
        }
        let length = decode_varint(&mut wire).ok().and_then(|length| usize::try_from(length).ok());
        let Some((value, rest)) = length.and_then(|length| wire.split_at_checked(length)) else {
            break;
        };
        wire = rest;
        if let Some(Kind::Message(inner)) = field.map(|field| field.kind())
            && has_misread_map(&inner, value)
        {
            return true;
        }
    }
    false
}

/// An Any's type and value may come from two places, so that it is looked at when it is whole.
fn misreads_an_any(message: &DynamicMessage) -> bool {
    fn in_value(value: &Value) -> bool {
        match value {
            Value::Message(message) => misreads_an_any(message),
            Value::List(values) => values.iter().any(in_value),
            Value::Map(values) => values.values().any(in_value),
            _ => false,
        }
    }
    let descriptor = message.descriptor();
    if descriptor.full_name() != "google.protobuf.Any" {
        return message.fields().any(|(_, value)| in_value(value));
    }
    let (url, value) = (message.get_field_by_number(1), message.get_field_by_number(2));
    let name = url.as_deref().and_then(Value::as_str).and_then(|url| url.rsplit('/').next());
    let of = name.and_then(|name| descriptor.parent_pool().get_message_by_name(name));
    let value = value.as_deref().and_then(Value::as_bytes);
    of.zip(value).is_some_and(|(of, value)| misread_as_map(&of, value))
}
