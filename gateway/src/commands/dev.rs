//! `gusset dev`: a gateway, a bus and two functions in one process, to play with.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf, sync::Arc};

use ingress::config::{File, Offer};

use super::run::Running;
use crate::{
    cli::{Done, Stop, print},
    configuration::Start,
    outbox::Kept,
    samples::{self, echo, receiver::Receiver},
    serve::{self, Reached},
};

const EXAMPLES: &str = "\
Examples:
  gusset dev                                     everything in memory, nothing to install
  gusset dev --nats nats://127.0.0.1:4222        the same routes, publishing to your NATS
  gusset dev -c gateway.yaml                     your configuration, with the bus in memory
                                                 (kind: embedded) and the samples beside it
  gusset dev --listen 127.0.0.1:9080 --admin 127.0.0.1:9081";

/// A gateway, a bus and two sample functions in one process, to play with
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Serve this configuration instead of the one for playing
    #[arg(short, long, value_name = "FILE|FOLDER", conflicts_with_all = ["nats", "listen", "admin"])]
    config: Option<PathBuf>,
    /// Publish to this NATS server instead of the bus in memory
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// Where requests arrive
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the admin API is
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    #[command(flatten)]
    running: Running,
}

/// The samples, once they accept.
struct Samples {
    echo: SocketAddr,
    receiver: SocketAddr,
}

/// Serves until a signal says to stop.
pub(crate) fn run(args: &Args) -> Done {
    let control = serve::control()?;
    let samples = control.block_on(Samples::start())?;
    let offer = Offer::default();
    let start = match &args.config {
        Some(path) => Start::files(path, &offer, None)?,
        None => Start::built_in(args.file(&samples), &offer)?,
    };
    serve::serve(control, args.running.service(start, offer, Kept::InMemory), |reached| {
        print::line(&match &args.config {
            Some(path) => args.greet_with(path, &samples),
            None => args.greet(&program(), &samples, reached),
        })
    })
}

impl Samples {
    async fn start() -> Result<Self, Stop> {
        let receiver = Arc::new(Receiver::default());
        Ok(Self {
            echo: samples::start(echo::echo).await?,
            receiver: samples::start(receiver.function()).await?,
        })
    }
}

impl Args {
    fn file(&self, samples: &Samples) -> File {
        File { name: "dev.yaml".to_owned(), text: self.text(samples) }
    }

    /// The configuration for playing. A value is written as JSON, which is YAML as well.
    fn text(&self, samples: &Samples) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let bus = match &self.nats {
            Some(url) => format!("{{ kind: nats, url: {} }}", quoted(url)),
            None => "{ kind: embedded }".to_owned(),
        };
        include_str!("../dev/dev.yaml")
            .replace("$LISTEN", &quoted(&self.listen.to_string()))
            .replace("$ADMIN", &quoted(&self.admin.to_string()))
            .replace("$ECHO", &quoted(&format!("http://{}", samples.echo)))
            .replace("$RECEIVER", &quoted(&format!("http://{}", samples.receiver)))
            .replace("$BUS", &bus)
    }

    fn greet(&self, program: &str, samples: &Samples, reached: &Reached) -> String {
        let gateway = reached.listeners.first().map_or(self.listen, |(_, address)| *address);
        let bus = match &self.nats {
            Some(_) => "your NATS server",
            None => "in memory: it keeps nothing, and who does not listen misses it",
        };
        let default_admin = "127.0.0.1:8081".parse() == Ok(reached.admin);
        let admin_flag = if default_admin {
            String::new()
        } else {
            format!(" --admin http://{}", reached.admin)
        };
        include_str!("../dev/greeting.txt")
            .replace("$GATEWAY", &format!("http://{}", reachable(gateway)))
            .replace("$ADMIN", &format!("http://{}", reached.admin))
            .replace("$ECHO", &format!("http://{}", samples.echo))
            .replace("$RECEIVER", &format!("http://{}", samples.receiver))
            .replace("$BUS", bus)
            .replace("$GUSSET", program)
            .replace("$FLAG", &admin_flag)
            .trim_end()
            .to_owned()
    }

    fn greet_with(&self, path: &std::path::Path, samples: &Samples) -> String {
        let mut said = format!("\nServing {}. Beside it:\n\n", path.display());
        let lines = [
            ("echo", format!("http://{}   answers with what it was asked", samples.echo)),
            (
                "receiver",
                format!("http://{}   takes CloudEvents and prints them here", samples.receiver),
            ),
            (
                "bus",
                "an upstream with `kind: embedded` is a bus in memory that keeps nothing".into(),
            ),
        ];
        for (name, what) in lines {
            writeln!(said, "  {name:<9} {what}").expect("writing to a text");
        }
        said
    }
}

/// How this program was called, so that what is printed can be pasted where it is on no path.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match called.contains('/') {
        true if called.chars().all(plain) => called,
        true => format!("'{}'", called.replace('\'', r"'\''")),
        false => "gusset".to_owned(),
    }
}

/// An address that can be asked: one that stands for all is reached by loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
        address.set_ip(loopback.parse().expect("an address"));
    }
    address
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::commands::{Command, Gusset};

    fn args(line: &str) -> Args {
        match Gusset::parse_from(line.split(' ')).command {
            Command::Dev(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn samples() -> Samples {
        Samples {
            echo: "127.0.0.1:4001".parse().unwrap(),
            receiver: "127.0.0.1:4002".parse().unwrap(),
        }
    }

    #[test]
    fn the_configuration_for_playing_loads_with_both_buses() {
        let offer = Offer::default();
        for (line, kind) in
            [("gusset dev", "embedded"), ("gusset dev --nats nats://127.0.0.1:4222", "nats")]
        {
            let table = Start::built_in(args(line).file(&samples()), &offer).unwrap().table;
            assert_eq!(table.upstreams.len(), 3);
            let bus = table.upstreams.iter().find(|upstream| &*upstream.name == "bus").unwrap();
            assert_eq!(bus.target.kind(), kind);
        }
    }

    #[test]
    fn the_greeting_names_where_everything_really_is() {
        let reached = Reached {
            listeners: vec![("default".parse().unwrap(), "0.0.0.0:4000".parse().unwrap())],
            admin: "127.0.0.1:4003".parse().unwrap(),
        };
        let said = args("gusset dev").greet("gusset", &samples(), &reached);
        for part in [
            "http://127.0.0.1:4000/echo",
            "http://127.0.0.1:4001",
            "http://127.0.0.1:4002",
            "gusset subscribe bus/hello --admin http://127.0.0.1:4003",
            "keeps nothing",
        ] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
        assert!(!said.contains('$'), "{said}");
        assert!(said.matches("\n  curl ").count() >= 4, "{said}");
    }

    #[test]
    fn a_nats_url_cannot_break_out_of_its_place() {
        let nats = "nats://x\",evil:\"1".to_owned();
        let args = Args { nats: Some(nats), ..args("gusset dev") };
        assert!(args.text(&samples()).contains(r#"url: "nats://x\",evil:\"1""#));
    }
}
