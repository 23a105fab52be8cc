//! Lists of what is live or what a file says: asked for, and printed.

use ingress::Table;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cli::{
        Done,
        arguments::{List, Output},
        print,
        table::table,
        yaml::yaml,
    },
    client::{Admin, block_on},
    files,
};

/// Prints a list: of the file of `-c`, or of the gateway, which has it at `path`.
pub(super) fn list<T: Serialize + DeserializeOwned, const N: usize>(
    args: &List,
    path: &str,
    of: impl Fn(&Table) -> Vec<T>,
    head: [&str; N],
    row: impl Fn(&T) -> [String; N],
) -> Done {
    let all: Vec<T> = match &args.source.config {
        Some(file) => of(&files::load_any(file)?.0.table),
        None => block_on(Admin::new(&args.source.admin)?.get(path))??,
    };
    print(args, &all, head, row)
}

/// Prints what a list has.
pub(super) fn print<T: Serialize, const N: usize>(
    args: &List,
    all: &[T],
    head: [&str; N],
    row: impl Fn(&T) -> [String; N],
) -> Done {
    let document = || serde_json::to_value(all).unwrap_or_default();
    print::line(&match args.output {
        Output::Json => format!("{:#}", document()),
        Output::Yaml => yaml(&document()),
        Output::Table => table(head, &all.iter().map(row).collect::<Vec<_>>()),
    })
}
