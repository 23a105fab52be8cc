//! `gusset init`: a commented configuration to begin with.

use ingress::config::KINDS_TO_COME;

use crate::cli::{Done, Stop, print};

const EXAMPLES: &str = "\
Examples:
  gusset init nats > gateway.yaml        HTTP in, NATS out
  gusset init amqp > gateway.yaml        HTTP in, RabbitMQ out
  gusset init http > gateway.yaml        HTTP services behind one gateway
  gusset init grpc > gateway.yaml        JSON in, gRPC out
  gusset init lambda > gateway.yaml      functions of AWS Lambda
  gusset init embedded > gateway.yaml    a durable bus without a broker
  gusset schema > config.schema.json     what the first line of the file points an editor to";

/// Print a commented configuration to begin with
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What requests shall reach: http, grpc, nats, amqp, lambda or embedded
    kind: String,
}

const TEMPLATES: [(&str, &str); 6] = [
    ("http", include_str!("../init/http.yaml")),
    ("grpc", include_str!("../init/grpc.yaml")),
    ("nats", include_str!("../init/nats.yaml")),
    ("amqp", include_str!("../init/amqp.yaml")),
    ("lambda", include_str!("../init/lambda.yaml")),
    ("embedded", include_str!("../init/embedded.yaml")),
];

/// Prints the file.
pub(crate) fn run(args: &Args) -> Done {
    print::line(template(&args.kind)?.trim_end())
}

fn template(kind: &str) -> Result<&'static str, Stop> {
    if let Some((_, text)) = TEMPLATES.iter().find(|(name, _)| *name == kind) {
        return Ok(text);
    }
    let known = "write http, grpc, nats, amqp, lambda or embedded";
    Err(Stop::unusable(match kind {
        _ if KINDS_TO_COME.contains(&kind) => {
            format!("the kind `{kind}` is not built yet; {known}")
        }
        _ => format!("there is no kind `{kind}`; {known}"),
    }))
}

#[cfg(test)]
mod tests {
    use ingress::config::{self, File, Offer};

    use super::*;

    #[test]
    fn every_template_loads_and_leads_an_editor_to_the_schema() {
        for (kind, text) in TEMPLATES {
            assert!(text.starts_with("# yaml-language-server: $schema="), "{kind}");
            let file = File { name: format!("{kind}.yaml"), text: text.to_owned() };
            match config::parse(&[file], &Offer::default()) {
                Ok(loaded) => assert!(
                    loaded.warnings.is_empty() && !loaded.table.routes.is_empty(),
                    "{kind}: {:?}",
                    loaded.warnings
                ),
                Err(problems) => {
                    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
                    panic!("{kind}: {}", said.join("\n"));
                }
            }
        }
    }

    #[test]
    fn what_is_not_built_is_refused_by_name() {
        for (kind, part) in [("kafka", "`kafka` is not built yet"), ("x", "no kind `x`")] {
            let Err(Stop::Failed(2, said)) = template(kind) else { panic!("{kind}") };
            assert!(said.contains(part), "{said}");
        }
    }
}
