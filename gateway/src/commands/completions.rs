//! `gusset completions`: completion for a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Gusset;
use crate::cli::{Done, print};

const EXAMPLES: &str = "\
Examples:
  gusset completions bash > /etc/bash_completion.d/gusset
  gusset completions zsh > ~/.zfunc/_gusset
  gusset completions fish > ~/.config/fish/completions/gusset.fish";

/// Print the completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> Done {
    // Into memory first: the generator panics where nobody reads what it writes.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Gusset::command(), "gusset", &mut script);
    print::bytes(&script)
}
