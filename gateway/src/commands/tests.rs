use std::io;

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Gusset::try_parse_from(line.split(' ')).map(|gusset| gusset.command)
}

#[test]
fn every_command_is_well_formed_and_has_examples() {
    let mut gusset = Gusset::command();
    gusset.build();
    gusset.clone().debug_assert();
    for command in gusset.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name} says nothing about itself");
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(
            name == "help" || after.contains(&format!("gusset {name}")),
            "{name} has no example"
        );
    }
}

#[test]
fn the_lines_of_the_dialect_are_understood() {
    for line in [
        "gusset run -c gateway.yaml",
        "gusset run -c conf.d --records json --cores 2 --drain 10s",
        "gusset dev",
        "gusset dev -c gateway.yaml",
        "gusset dev --nats nats://127.0.0.1:4222 --listen 127.0.0.1:0 --admin 127.0.0.1:0",
        "gusset check -c gateway.yaml --live --format json",
        "gusset init nats",
        "gusset routes -o yaml",
        "gusset upstreams -o json -c gateway.yaml",
        "gusset explain POST /orders/7?x=1 -H content-type:text/plain -d @order.json",
        "gusset invoke bus/orders.created -d -",
        "gusset publish bus/hello -d hi --type a.b --source /me --id 1 --subject s -n 3",
        "gusset subscribe bus/> -n 1 --admin http://127.0.0.1:9000",
        "gusset functions -c gateway.yaml -o yaml",
        "gusset run --state data",
        "gusset run -c gateway.yaml --last-good data",
        "gusset apply -f gateway.yaml --diff",
        "gusset apply --rollback --admin http://10.0.0.1:8081 --token-file admin.token",
        "gusset outbox",
        "gusset outbox --admin http://127.0.0.1:9000",
        "gusset outbox list --state dead --route r --target web --type a.* --since 1h --until 1m",
        "gusset outbox list --id 7 --where id='x' -n 5 --after 3 -o yaml",
        "gusset outbox show 7 -o json --token-file admin.token",
        "gusset outbox drop 7 8",
        "gusset outbox drop --state dead --until 7d --yes",
        "gusset replay --to web",
        "gusset replay --state parked --since 2026-01-01T00:00:00Z --to bus/x --rate 1/m --dry-run",
        "gusset schema",
        "gusset completions zsh",
        "gusset health --admin http://127.0.0.1:8081",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_exit_code_2() {
    for line in [
        "gusset",
        "gusset run",
        "gusset run -c a --drain soon",
        "gusset run -c a --records xml",
        "gusset dev -c a --nats nats://x",
        "gusset dev --listen 8080",
        "gusset check",
        "gusset run --state data -c a --last-good data",
        "gusset apply",
        "gusset apply -f a --rollback",
        "gusset apply --rollback --diff",
        "gusset explain GET",
        "gusset explain GET / -H nonsense",
        "gusset publish bus/x -n 0",
        "gusset outbox list --state lost",
        "gusset outbox list --since soon",
        "gusset outbox show",
        "gusset outbox --admin http://127.0.0.1:9000 list",
        "gusset replay",
        "gusset replay --to web --rate 0/s",
        "gusset rutes",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn a_mistyped_command_is_told_what_it_may_have_meant() {
    assert!(parse("gusset rutes").unwrap_err().to_string().contains("routes"));
}

#[test]
fn what_is_not_built_is_refused_by_name_whatever_follows_it() {
    for line in ["gusset tap", "gusset top --help -x"] {
        let stop = run(parse(line).unwrap()).unwrap_err();
        let Stop::Failed(2, said) = stop else { panic!("{line}: {stop:?}") };
        assert!(said.contains("is not built yet"), "{said}");
    }
}

#[test]
fn a_pipe_that_nobody_reads_is_no_failure() {
    let broken = io::Error::from(io::ErrorKind::BrokenPipe);
    assert!(matches!(Stop::from(broken), Stop::Unread));
}
