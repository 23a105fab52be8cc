//! Where descriptors come from, as it is written: the word `reflection`, or files; and reading them
//! from files.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use schemas::{FileRef, Reveal};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use transcoding::Descriptors;

/// The word for asking the server.
const REFLECTION: &str = "reflection";

/// Where descriptors come from; none of the fields is written where the server is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source(Written);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DescriptorFiles")]
struct Written {
    /// A FileDescriptorSet, as `protoc --include_imports --descriptor_set_out` and `buf build` write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// .proto files that are compiled here, by the names that others import them by.
    #[serde(skip_serializing_if = "Option::is_none")]
    proto: Option<Vec<String>>,
    /// Folders in which they and what they import are looked for. Default: the configuration's.
    #[serde(skip_serializing_if = "Option::is_none")]
    include: Option<Vec<PathBuf>>,
}

/// The files that descriptors are read from.
#[derive(Clone, Debug)]
pub(super) enum Files {
    /// One with all of them.
    Set(PathBuf),
    /// Texts to compile.
    Proto { names: Vec<String>, folders: Vec<PathBuf> },
}

/// Descriptors, and the bytes that they were made of.
pub(super) type Read = (Descriptors, Vec<Bytes>);

impl Source {
    /// What is wrong with it: the field's path and what to write.
    pub(super) fn check(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        let mut say = |path: &str, what: &str| wrong.push((path.to_owned(), what.to_owned()));
        let Written { file, proto, include } = &self.0;
        if file.is_some() && proto.is_some() {
            say("descriptors.proto", "stands beside `file`; write one of the two");
        }
        if proto.as_ref().is_some_and(Vec::is_empty) {
            say("descriptors.proto", "is empty; write the .proto files of the services");
        }
        if include.is_some() && proto.is_none() {
            say("descriptors.include", "is of use beside `proto` only; leave it out");
        }
        wrong
    }

    /// The files; none if the server is asked.
    pub(super) fn files(&self) -> Option<Files> {
        match &self.0 {
            Written { file: Some(file), .. } => Some(Files::Set(file.clone())),
            Written { proto: Some(names), include, .. } => Some(Files::Proto {
                names: names.clone(),
                folders: include.clone().unwrap_or_else(|| vec![PathBuf::new()]),
            }),
            Written { file: None, proto: None, .. } => None,
        }
    }
}

impl Files {
    /// The field that names them.
    pub(super) fn field(&self) -> &'static str {
        match self {
            Self::Set(_) => "descriptors.file",
            Self::Proto { .. } => "descriptors.proto",
        }
    }

    /// Reads them, unless they are what was `seen`. Blocks.
    ///
    /// # Errors
    /// What is wrong, by the files' own names and lines.
    pub(super) fn read(
        &self,
        reader: &Arc<dyn Reveal>,
        seen: &[Bytes],
    ) -> Result<Option<Read>, String> {
        match self {
            Self::Set(file) => {
                let file = FileRef { file: file.clone() };
                let set = reader.read(&file).map_err(|error| error.to_string())?;
                let raw = vec![Bytes::from(set)];
                if raw == seen {
                    return Ok(None);
                }
                let name = file.file.display();
                let descriptors = Descriptors::from_set(&raw[0])
                    .map_err(|unusable| format!("{name}: {unusable}"))?;
                Ok(Some((descriptors, raw)))
            }
            Self::Proto { names, folders } => {
                let (descriptors, texts) = compile(names, folders.clone(), Arc::clone(reader))?;
                Ok((texts != seen).then_some((descriptors, texts)))
            }
        }
    }
}

/// Compiles .proto files, and keeps the texts: which there are is known only when all are read.
fn compile(
    names: &[String],
    folders: Vec<PathBuf>,
    reader: Arc<dyn Reveal>,
) -> Result<Read, String> {
    let texts: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let noted = Arc::clone(&texts);
    let descriptors = Descriptors::compile(names, move |name| {
        let find = |folder: &PathBuf| reader.find(&FileRef { file: folder.join(name) }).transpose();
        let Some(found) = folders.iter().find_map(find) else { return Ok(None) };
        let found = found.map_err(|error| error.to_string())?;
        let text = String::from_utf8(found).map_err(|_| format!("{name}: is not UTF-8"))?;
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(Bytes::from(text.clone()));
        Ok(Some(text))
    });
    let descriptors = descriptors.map_err(|unusable| unusable.to_string())?;
    let texts = std::mem::take(&mut *texts.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((descriptors, texts))
}

impl fmt::Display for Files {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(file) => Path::display(file).fmt(out),
            Self::Proto { names, .. } => out.write_str(&names.join(", ")),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.files() {
            Some(_) => self.0.serialize(to),
            None => to.serialize_str(REFLECTION),
        }
    }
}

// By hand, so that an error speaks of the field and keeps its place.
impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> de::Visitor<'de> for Reader {
            type Value = Source;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("`reflection`, { file: … } or { proto: […] }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Source, E> {
                if text == REFLECTION {
                    return Ok(Source::default());
                }
                Err(E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
                Written::deserialize(de::value::MapAccessDeserializer::new(map)).map(Source)
            }
        }

        from.deserialize_any(Reader)
    }
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "DescriptorSource".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": REFLECTION }, Written::json_schema(schemas)] })
    }
}
