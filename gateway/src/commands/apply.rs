//! `gusset apply`: give a gateway another configuration, or the one before.

use std::path::{Path, PathBuf};

use admin::config::{Config, SourceKind, Text};
use http::Method;
use ingress::config::{self, Offer};
use similar::{ChangeTag, TextDiff};

use crate::{
    cli::{Done, Stop, arguments, print},
    client::{Admin, Answer, Asked, block_on},
    files,
};

const EXAMPLES: &str = "\
Examples:
  gusset apply -f gateway.yaml --diff      what would change; changes nothing
  gusset apply -f gateway.yaml
  gusset apply --rollback                  back to the version before
  gusset apply -f gateway.yaml --admin http://10.0.0.1:8081 --token-file admin.token

The gateway must own its configuration: `gusset run --state FOLDER`. One that serves a file follows
the file. Exit code 1: it is wrong, which is told with each place, or somebody else has changed it
meanwhile; nothing was changed then.";

/// Lines around a change.
const AROUND: usize = 3;

/// Give a gateway another configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The new configuration
    #[arg(short, long, value_name = "FILE", required_unless_present = "rollback")]
    file: Option<PathBuf>,
    /// Print what would change, and change nothing
    #[arg(long, requires = "file")]
    diff: bool,
    /// Go back to the version before the live one
    #[arg(long, conflicts_with_all = ["file", "diff"])]
    rollback: bool,
    #[command(flatten)]
    admin: arguments::Admin,
}

/// Changes the configuration, or says what would change.
pub(crate) fn run(args: &Args) -> Done {
    let admin = Admin::new(&args.admin)?;
    let Some(file) = &args.file else {
        return block_on(async {
            let meant = Some(owned(&admin).await?.version);
            let asked = Asked { media: "application/json", meant, body: "{}".into() };
            let answer = admin.change(Method::POST, "/api/v1/config/rollback", asked).await?;
            said(&answer, Path::new("gateway.yaml"))
        })?;
    };
    let mut read = files::read(file)?;
    let (Some(new), true) = (read.files.pop(), read.files.is_empty()) else {
        return Err(Stop::unusable(format!(
            "{} has several files; put them together in one",
            file.display()
        )));
    };
    if args.diff {
        let live: Vec<Text> = block_on(admin.get("/api/v1/config/files"))??;
        let live: String = live.into_iter().map(|one| one.text).collect();
        print::line(&diff(&live, &new.text).unwrap_or_else(|| "no difference".to_owned()))?;
        return match config::parse(&[new], &Offer::default()) {
            Ok(_) => Ok(()),
            Err(problems) => Err(files::refuse(&problems)),
        };
    }
    block_on(async {
        let meant = Some(owned(&admin).await?.version);
        let asked = Asked { media: "application/yaml", meant, body: new.text.into() };
        let answer = admin.change(Method::PUT, "/api/v1/config", asked).await?;
        said(&answer, file)
    })?
}

/// What is live, if it is the API's to change.
async fn owned(admin: &Admin) -> Result<Config, Stop> {
    let config: Config = admin.get("/api/v1/config").await?;
    match (config.source.kind, &config.source.path) {
        (SourceKind::Api, _) => Ok(config),
        (_, Some(path)) => Err(Stop::failed(format!(
            "the gateway serves {path} and follows it: change it there; to change it from here \
             the gateway must run with --state"
        ))),
        (_, None) => Err(Stop::failed(
            "this gateway has made its configuration up itself; `gusset run --state FOLDER` \
             starts one that takes another",
        )),
    }
}

/// Says what came of a change; problems by the name that the file has here.
fn said(answer: &Answer, file: &Path) -> Done {
    if answer.ok {
        let live: Config = answer.document()?;
        for warning in &live.warnings {
            print::error(&format!("warning: {warning}"));
        }
        return print::line(&format!(
            "version {} is live ({} routes, {} upstreams)",
            live.version, live.routes, live.upstreams
        ));
    }
    let mut refusal = answer.refusal();
    if refusal.problems.is_empty() {
        return Err(Stop::failed(refusal.detail));
    }
    for problem in &mut refusal.problems {
        problem.file = file.display().to_string();
    }
    Err(files::refuse(&refusal.problems))
}

/// What is taken out and what comes in, with the lines around it. None if nothing changes.
fn diff(live: &str, new: &str) -> Option<String> {
    if live == new {
        return None;
    }
    let diff = TextDiff::from_lines(live, new);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(AROUND) {
        let (first, last) = (group.first()?, group.last()?);
        let range = |from: usize, to: usize| format!("{},{}", from + 1, to - from);
        lines.push(format!(
            "@@ -{} +{} @@",
            range(first.old_range().start, last.old_range().end),
            range(first.new_range().start, last.new_range().end)
        ));
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            lines.push(format!("{sign}{}", change.value().trim_end_matches(['\n', '\r'])));
        }
    }
    Some(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_the_lines_around_it() {
        let live = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\nten\n";
        let said = "@@ -2,8 +2,9 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n+ten";
        assert_eq!(diff(live, new).unwrap(), said);
        assert_eq!(diff(live, live), None);
    }
}
