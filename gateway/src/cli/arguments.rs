//! Arguments that several commands share.

use std::{
    fs,
    io::{self, Read as _},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use schemas::units::Span;

use super::Stop;

/// The most that is read for `-d`.
const DATA_BYTES_MAX: u64 = 16 << 20;

/// Which gateway to ask.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Admin {
    /// The admin API of the gateway to ask
    #[arg(
        id = "admin-url",
        long = "admin",
        value_name = "URL",
        env = "GUSSET_ADMIN",
        default_value = "http://127.0.0.1:8081"
    )]
    pub(crate) url: String,
    /// A file with the gateway's admin token, where it asks for one
    #[arg(long, value_name = "FILE", env = "GUSSET_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

/// Which gateway to ask, or which configuration to work from without one.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Source {
    #[command(flatten)]
    pub(crate) admin: Admin,
    /// Work from this file or folder instead, without a running gateway
    #[arg(short, long, value_name = "FILE|FOLDER")]
    pub(crate) config: Option<PathBuf>,
}

/// What to list, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) source: Source,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Output,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// Columns for people
    Table,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// How an account of one thing is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    Text,
    /// JSON
    Json,
}

/// A header, written `name: value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header(pub(crate) String, pub(crate) String);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok(Self(name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err("a header is written 'name: value'".to_owned()),
        }
    }
}

/// Reads a duration as it is written in a configuration.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<Span>().map(|span| span.0).map_err(|error| error.to_string())
}

/// Reads what `-d` names: `@FILE`, `-` or `@-` for standard input, else the text itself.
pub(crate) fn data(written: &str) -> Result<Vec<u8>, Stop> {
    let file = match written {
        "-" | "@-" => return read(io::stdin().lock(), "standard input"),
        _ => match written.strip_prefix('@') {
            None => return Ok(written.as_bytes().to_vec()),
            Some(file) => file,
        },
    };
    let open = fs::File::open(file)
        .map_err(|error| Stop::unusable(format!("cannot read {file}: {error}")))?;
    read(open, file)
}

fn read(from: impl io::Read, name: &str) -> Result<Vec<u8>, Stop> {
    let mut all = Vec::new();
    from.take(DATA_BYTES_MAX + 1)
        .read_to_end(&mut all)
        .map_err(|error| Stop::unusable(format!("cannot read {name}: {error}")))?;
    if all.len() as u64 > DATA_BYTES_MAX {
        return Err(Stop::unusable(format!("{name} is larger than 16MiB; send less at once")));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_split_at_its_first_colon() {
        let header: Header = "x-at: 12:30".parse().unwrap();
        assert_eq!(header, Header("x-at".into(), "12:30".into()));
        assert!("novalue".parse::<Header>().is_err());
        assert!(": x".parse::<Header>().is_err());
    }

    #[test]
    fn data_is_the_text_itself_or_a_file() {
        assert_eq!(data("{\"a\": 1}").unwrap(), b"{\"a\": 1}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        fs::write(&file, b"from a file\n").unwrap();
        assert_eq!(data(&format!("@{}", file.display())).unwrap(), b"from a file\n");
        assert!(matches!(data("@/no/such/file"), Err(Stop::Failed(2, _))));
    }
}
