//! Files that need not be given: google/protobuf, google/api and google/rpc.

use std::io;
use std::sync::LazyLock;

use prost_reflect::DescriptorPool;
use protox::file::{File, FileResolver, GoogleFileResolver};

use crate::descriptors::Unusable;
use crate::plan::Plans;

/// What every service may pack into an Any: the well-known types and the details of errors.
pub(crate) static STANDARD: LazyLock<Plans> = LazyLock::new(|| {
    let files = ["google/rpc/status.proto", "google/rpc/error_details.proto"];
    let well_known = DescriptorPool::global();
    let known = well_known.files().map(|file| file.name().to_owned());
    let names = files.into_iter().map(str::to_owned).chain(known);
    let pool = compile(names, |_| Ok(None)).unwrap_or(well_known.clone());
    Plans::new(&pool)
});

const BUNDLED: [(&str, &str); 4] = [
    ("google/api/annotations.proto", include_str!("bundled/annotations.proto")),
    ("google/api/http.proto", include_str!("bundled/http.proto")),
    ("google/rpc/status.proto", include_str!("bundled/status.proto")),
    ("google/rpc/error_details.proto", include_str!("bundled/error_details.proto")),
];

/// Compiles files and what they import.
pub(crate) fn compile<S: AsRef<str>>(
    files: impl IntoIterator<Item = S>,
    source: impl Fn(&str) -> Result<Option<String>, String> + 'static,
) -> Result<DescriptorPool, Unusable> {
    let mut compiler =
        protox::Compiler::with_file_resolver(Sources { source, google: GoogleFileResolver::new() });
    compiler.include_imports(true).include_source_info(true);
    for file in files {
        let name = file.as_ref();
        let opened = compiler.open_file(name);
        opened.map_err(|cause| Unusable::Proto { problem: told(name, &cause) })?;
    }
    Ok(compiler.descriptor_pool())
}

/// The caller's texts first, then those that are known.
struct Sources<F> {
    source: F,
    google: GoogleFileResolver,
}

impl<F: Fn(&str) -> Result<Option<String>, String>> FileResolver for Sources<F> {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let found = (self.source)(name)
            .map_err(|problem| protox::Error::from(io::Error::other(problem)))?;
        if let Some(text) = found {
            return File::from_source(name, &text);
        }
        match BUNDLED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => File::from_source(name, text),
            None => self.google.open_file(name),
        }
    }
}

/// The descriptor of a file that need not be given, as bytes.
pub(crate) fn descriptor(name: &str) -> Option<Vec<u8>> {
    if let Some(file) = DescriptorPool::global().get_file_by_name(name) {
        return Some(file.encode_to_vec());
    }
    BUNDLED.iter().find(|(known, _)| *known == name)?;
    let pool = compile([name], |_| Ok(None)).ok()?;
    pool.get_file_by_name(name).map(|file| file.encode_to_vec())
}

/// A compiler's error in one line, with its place.
fn told(name: &str, cause: &protox::Error) -> String {
    // Its `Debug` form begins with file, line and column where they are known.
    // An import that is not there has a file that wants it; a file that was asked for has none.
    if cause.is_file_not_found() && cause.file().is_none() {
        return format!("{name}: there is no such file");
    }
    // Of a file that cannot be had.
    if cause.is_io() {
        return cause.to_string();
    }
    let text = format!("{cause:?}");
    text.lines().next().unwrap_or_default().to_owned()
}
