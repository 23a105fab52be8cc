//! How JSON is read and printed. The defaults are those of the proto3 JSON mapping.

/// What a caller may choose; [`Options::default`] is the mapping as it is specified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How fields are named in what is printed. Both are always read.
    pub names: Names,
    /// How enum values are printed. Both are always read.
    pub enums: Enums,
    /// Whether fields without presence are printed where they have their default value.
    pub defaults: bool,
    /// What is done with a field, parameter or enum value that the descriptors do not know.
    pub unknown: Unknown,
    /// What is refused for its size.
    pub limits: Limits,
}

/// How fields are named in what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Names {
    /// `json_name`: lowerCamelCase, unless the file says otherwise.
    #[default]
    Json,
    /// As the .proto file has them.
    Original,
}

/// How enum values are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enums {
    /// By name; a value without a name by its number.
    #[default]
    Names,
    /// By number.
    Numbers,
}

/// What is done with what the descriptors do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// It is a violation.
    #[default]
    Refuse,
    /// It is skipped.
    Ignore,
}

/// What is refused for its size, in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep objects, arrays and messages may nest.
    pub depth: usize,
    /// How large a message may be on the wire.
    pub message_bytes: usize,
    /// How large the JSON of one message may be; a short message can have a long text.
    pub json_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            names: Names::Json,
            enums: Enums::Names,
            defaults: false,
            unknown: Unknown::Refuse,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 100, message_bytes: 4 << 20, json_bytes: 64 << 20 }
    }
}
