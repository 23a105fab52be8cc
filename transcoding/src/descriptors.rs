//! What is known of services: their methods, the messages of those, and how each is transcoded.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use prost::Message as _;
use prost_reflect::prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use prost_reflect::{DescriptorError, DescriptorPool, MethodDescriptor, ServiceDescriptor};

use crate::annotation::{self, Rule};
use crate::plan::{MessageId, Plans};
use crate::{bundled, wire};

/// The services of a set of descriptors. Cheap to clone.
#[derive(Clone)]
pub struct Descriptors {
    pub(crate) plans: Arc<Plans>,
    services: Arc<[Service]>,
    pub(crate) pool: DescriptorPool,
}

impl fmt::Debug for Descriptors {
    /// Names the services: a pool's own `Debug` does not end where a message contains itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.services.iter().map(|service| &service.name)).finish()
    }
}

/// A service.
#[derive(Debug)]
pub struct Service {
    /// The full name, such as `ledger.v1.Ledger`.
    pub name: String,
    /// The comment in front of it, where the descriptors have one.
    pub comment: String,
    /// Its methods, as the file has them.
    pub methods: Vec<Arc<Method>>,
}

/// A method.
#[derive(Debug)]
pub struct Method {
    /// The path of its requests, such as `/ledger.v1.Ledger/Transfer`.
    pub path: String,
    /// The service's full name.
    pub service: String,
    /// The method's own name.
    pub name: String,
    /// The comment in front of it, where the descriptors have one.
    pub comment: String,
    /// Whether the client sends any number of messages.
    pub client_streaming: bool,
    /// Whether the service sends any number of messages.
    pub server_streaming: bool,
    /// The full name of what it is given.
    pub input: String,
    /// The full name of what it answers.
    pub output: String,
    /// How `google.api.http` reaches it.
    pub rules: Vec<Rule>,
    /// What is wrong with its `google.api.http`, where it cannot be read.
    pub(crate) unreadable: Option<String>,
    pub(crate) input_id: MessageId,
    pub(crate) output_id: MessageId,
}

/// A field, for people who want to know what a message looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// The name in JSON.
    pub json_name: String,
    /// The name in the .proto file.
    pub name: String,
    /// The type in the words of .proto, such as `repeated string` or `map<string, ledger.v1.Item>`.
    pub kind: String,
    /// The oneof that it is a member of.
    pub oneof: Option<String>,
    /// The comment in front of it, where the descriptors have one.
    pub comment: String,
}

/// Says why descriptors cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The bytes are not what they were said to be.
    #[error("is not a {what}: {problem}")]
    NotDescriptors {
        /// What they were said to be.
        what: &'static str,
        /// Why they are not.
        problem: String,
    },
    /// A file contradicts itself or another one, or lacks an import.
    #[error("{file}: {}{problem}", if .element.is_empty() { String::new() } else { format!("{element}: ") })]
    Conflict {
        /// The file's name.
        file: String,
        /// The message, field or method in it, as far as it is known.
        element: String,
        /// What is wrong.
        problem: String,
    },
    /// The text of a .proto file does not compile.
    #[error("{problem}")]
    Proto {
        /// What is wrong, with file, line and column.
        problem: String,
    },
}

impl Descriptors {
    /// Reads a `google.protobuf.FileDescriptorSet`, as `protoc --include_imports -o` writes it.
    ///
    /// Imports of google/protobuf, google/api and google/rpc may be missing.
    pub fn from_set(bytes: &[u8]) -> Result<Self, Unusable> {
        let what = "FileDescriptorSet";
        let set = FileDescriptorSet::decode(bytes)
            .map_err(|cause| Unusable::NotDescriptors { what, problem: cause.to_string() })?;
        let mut pool = DescriptorPool::new();
        pool.decode_file_descriptor_set(&*with_bundled(bytes, &set))
            .map_err(|cause| conflict(&cause, &set.file))?;
        Ok(Self::new(pool))
    }

    /// Reads files as server reflection gives them, each a `google.protobuf.FileDescriptorProto`,
    /// in any order; a file that is there twice counts once.
    pub fn from_files<B: AsRef<[u8]>>(
        files: impl IntoIterator<Item = B>,
    ) -> Result<Self, Unusable> {
        let mut by_name: HashMap<String, Vec<u8>> = HashMap::new();
        let mut set = Vec::new();
        for file in files {
            let file = file.as_ref();
            let decoded = FileDescriptorProto::decode(file).map_err(|cause| {
                let what = "FileDescriptorProto";
                Unusable::NotDescriptors { what, problem: cause.to_string() }
            })?;
            let name = decoded.name().to_owned();
            match by_name.get(&name) {
                Some(known) if known == file => continue,
                Some(_) => {
                    let problem = "is there twice, with different content".to_owned();
                    return Err(Unusable::Conflict { file: name, element: String::new(), problem });
                }
                None => {
                    set.push(0x0a);
                    wire::put_bytes(&mut set, file);
                    by_name.insert(name, file.to_vec());
                }
            }
        }
        Self::from_set(&set)
    }

    /// Compiles .proto files. `source` gives the text of a file by the name it is imported by, none
    /// if there is no such file, or why it cannot be had; those of google/protobuf and google/api are
    /// known already.
    pub fn compile<S: AsRef<str>>(
        files: impl IntoIterator<Item = S>,
        source: impl Fn(&str) -> Result<Option<String>, String> + 'static,
    ) -> Result<Self, Unusable> {
        Ok(Self::new(bundled::compile(files, source)?))
    }

    fn new(pool: DescriptorPool) -> Self {
        let plans = Plans::new(&pool);
        let services = pool.services().map(|service| Service::new(&service, &plans)).collect();
        Self { plans: Arc::new(plans), services, pool }
    }

    /// The services, as the files have them.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Finds a method by `package.Service/Method`, with or without a slash in front.
    pub fn method(&self, path: &str) -> Option<&Arc<Method>> {
        let (service, name) = path.strip_prefix('/').unwrap_or(path).split_once('/')?;
        let service = self.services.iter().find(|known| known.name == service)?;
        service.methods.iter().find(|method| method.name == name)
    }

    /// The fields of a message by its full name, in the order of the file.
    pub fn fields(&self, message: &str) -> Option<Vec<FieldInfo>> {
        let message = self.pool.get_message_by_name(message)?;
        let file = message.parent_file();
        let comments = Comments::of(file.file_descriptor_proto());
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(|field| field.path().to_vec());
        Some(
            fields
                .iter()
                .map(|field| FieldInfo {
                    json_name: field.json_name().to_owned(),
                    name: field.name().to_owned(),
                    kind: kind_of(field),
                    oneof: field
                        .containing_oneof()
                        .filter(|o| !o.is_synthetic())
                        .map(|o| o.name().to_owned()),
                    comment: comments.at(field.path()),
                })
                .collect(),
        )
    }
}

impl Service {
    fn new(service: &ServiceDescriptor, plans: &Plans) -> Self {
        let comments = Comments::of(service.parent_file_descriptor_proto());
        Self {
            name: service.full_name().to_owned(),
            comment: comments.at(service.path()),
            methods: service
                .methods()
                .map(|method| Method::new(&method, plans, &comments))
                .collect(),
        }
    }
}

impl Method {
    fn new(method: &MethodDescriptor, plans: &Plans, comments: &Comments<'_>) -> Arc<Self> {
        let service = method.parent_service().full_name();
        let (input, output) = (method.input(), method.output());
        let options = method.options().encode_to_vec();
        let (rules, unreadable) = match annotation::rules(&options) {
            Ok(rules) => (rules, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        let id = |name| plans.find(name).expect("the pool has the messages of its methods");
        Arc::new(Self {
            path: format!("/{service}/{}", method.name()),
            service: service.to_owned(),
            name: method.name().to_owned(),
            comment: comments.at(method.path()),
            client_streaming: method.is_client_streaming(),
            server_streaming: method.is_server_streaming(),
            input_id: id(input.full_name()),
            output_id: id(output.full_name()),
            input: input.full_name().to_owned(),
            output: output.full_name().to_owned(),
            rules,
            unreadable,
        })
    }
}

/// The comments of a file by the path of what they stand in front of.
struct Comments<'a>(HashMap<&'a [i32], &'a str>);

impl<'a> Comments<'a> {
    fn of(file: &'a FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        Self(locations.map(|location| (&*location.path, location.leading_comments())).collect())
    }

    fn at(&self, path: &[i32]) -> String {
        let comment = self.0.get(path).copied().unwrap_or_default();
        comment.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
    }
}

fn kind_of(field: &prost_reflect::FieldDescriptor) -> String {
    let name = |kind: prost_reflect::Kind| match kind {
        prost_reflect::Kind::Message(message) => message.full_name().to_owned(),
        prost_reflect::Kind::Enum(of) => of.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    match field.kind() {
        prost_reflect::Kind::Message(entry) if field.is_map() => {
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            format!("map<{}, {}>", name(key.kind()), name(value.kind()))
        }
        kind if field.is_list() => format!("repeated {}", name(kind)),
        kind => name(kind),
    }
}

/// Adds the files that are imported, not there, and known.
fn with_bundled<'a>(bytes: &'a [u8], set: &FileDescriptorSet) -> Cow<'a, [u8]> {
    let mut names: HashSet<String> = set.file.iter().map(|file| file.name().to_owned()).collect();
    let mut missing: Vec<String> =
        set.file.iter().flat_map(|file| file.dependency.iter().cloned()).collect();
    let mut all = Cow::Borrowed(bytes);
    while let Some(name) = missing.pop() {
        if names.contains(&name) {
            continue;
        }
        if let Some(file) = bundled::descriptor(&name) {
            missing.extend(FileDescriptorProto::decode(&*file).unwrap_or_default().dependency);
            all.to_mut().push(0x0a);
            wire::put_bytes(all.to_mut(), &file);
        }
        names.insert(name);
    }
    all
}

/// The comment in front of a field.
pub(crate) fn comment_of(field: &prost_reflect::FieldDescriptor) -> String {
    Comments::of(field.parent_file().file_descriptor_proto()).at(field.path())
}

/// Tells a pool's error by file and element.
pub(crate) fn conflict(cause: &DescriptorError, files: &[FileDescriptorProto]) -> Unusable {
    let file = cause.file().unwrap_or("a file").to_owned();
    let proto = files.iter().find(|known| known.name() == file);
    let element = proto.zip(cause.path()).map(|(proto, path)| element(proto, path));
    Unusable::Conflict { file, element: element.unwrap_or_default(), problem: cause.to_string() }
}

/// Names what a path of descriptor.proto leads to, by the numbers of its fields.
fn element(file: &FileDescriptorProto, path: &[i32]) -> String {
    let at = |index: i32| usize::try_from(index).unwrap_or(usize::MAX);
    let mut names = vec![file.package()];
    let mut message: Option<&DescriptorProto> = None;
    let mut rest = path;
    while let [field, index, deeper @ ..] = rest {
        let index = at(*index);
        let (name, next) = match (message, field) {
            (None, 4) => (
                file.message_type.get(index).map(DescriptorProto::name),
                file.message_type.get(index),
            ),
            (None, 5) => (file.enum_type.get(index).map(|e| e.name()), None),
            (None, 7) => (file.extension.get(index).map(|e| e.name()), None),
            (None, 6) => {
                let service = file.service.get(index);
                names.extend(service.map(|service| service.name()));
                let method = service.zip(deeper.get(1)).and_then(|(s, m)| s.method.get(at(*m)));
                (method.map(|method| method.name()), None)
            }
            (Some(outer), 2) => (outer.field.get(index).map(|f| f.name()), None),
            (Some(outer), 3) => (
                outer.nested_type.get(index).map(DescriptorProto::name),
                outer.nested_type.get(index),
            ),
            (Some(outer), 4) => (outer.enum_type.get(index).map(|e| e.name()), None),
            (Some(outer), 8) => (outer.oneof_decl.get(index).map(|o| o.name()), None),
            _ => (None, None),
        };
        names.extend(name);
        if next.is_none() {
            break;
        }
        message = next;
        rest = deeper;
    }
    names.retain(|name| !name.is_empty());
    names.join(".")
}
