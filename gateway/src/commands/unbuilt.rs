//! Commands that are to come: refused by name, whatever follows them.

use std::ffi::OsString;

use crate::cli::{Done, Stop};

/// Not built yet
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<OsString>,
}

/// Refuses a command by its name.
pub(crate) fn refuse(name: &str) -> Done {
    let instead = match name {
        "tap" | "top" => {
            "; the page of the admin API (http://127.0.0.1:8081) shows the newest requests"
        }
        _ => "",
    };
    Err(Stop::unusable(format!("`gusset {name}` is not built yet{instead}")))
}
