//! Every example is checked, validated against the schema, run, and asked what its header says.
//!
//! A header has lines such as
//! ```text
//! #   curl -i http://127.0.0.1:8080/hello
//! #   # 200
//! ```
//! in which the ports are those of the file. The test runs the same lines on free ones.

use std::path::Path;

use serde_json::Value;

use crate::{
    amqp,
    support::{
        Gateway, Peer, azure, eventually, faas, files,
        google::Cloud,
        grpc,
        knative::Cluster,
        lambda::{Key, Lambda, Outcome},
        nats::Server,
        rabbit, read, shell, yaml,
    },
};

/// A line to try, and the status that it is answered with.
struct Trial {
    line: String,
    status: String,
}

fn trials(text: &str) -> Vec<Trial> {
    let header = text.lines().take_while(|line| line.starts_with('#'));
    let lines: Vec<_> = header.map(|line| line.trim_start_matches('#').trim()).collect();
    let mut found: Vec<Trial> = Vec::new();
    let mut continued = false;
    for line in lines {
        if continued || line.starts_with("curl ") {
            if !continued {
                found.push(Trial { line: String::new(), status: String::new() });
            }
            continued = line.ends_with('\\');
            let trial = found.last_mut().unwrap();
            trial.line.push_str(line.trim_end_matches('\\'));
        } else if let (Some(status), Some(trial)) = (line.strip_prefix("# "), found.last_mut()) {
            trial.status = status.split([' ', ',']).next().unwrap().to_owned();
        }
    }
    found
}

/// What the examples call.
struct Peers {
    web: Peer,
    canary: Peer,
    faas: Peer,
    azure: azure::Host,
    google: Cloud,
    knative: Cluster,
    lambda: Lambda,
    nats: Server,
}

impl Peers {
    fn start() -> Self {
        let (web, canary) = (Peer::echo(), Peer::echo());
        let (faas, azure, nats) = (faas::start(), azure::Host::start(), Server::start());
        let (google, knative) = (Cloud::start(), Cluster::start());
        Self { web, canary, faas, azure, google, knative, lambda: functions(), nats }
    }
}

/// Puts the ports of running peers in place of those that the file names.
fn on_free_ports(text: &str, peers: &Peers) -> String {
    let Peers { web, canary, faas, azure, google, knative, lambda, nats } = peers;
    text.replace("listen: 127.0.0.1:8080", "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0")
        .replace("http://127.0.0.1:9000", &web.url())
        .replace("http://127.0.0.1:9001", &canary.url())
        .replace("http://127.0.0.1:8082", &faas.url())
        .replace("http://127.0.0.1:7071", &azure.peer.url())
        .replace("http://127.0.0.1:9003", &google.front.url())
        .replace("{ env: GOOGLE_KEY }", "{ file: google.json }")
        .replace("http://127.0.0.1:8083", &knative.peer.url())
        .replace("http://127.0.0.1:9002", &lambda.url())
        .replace("{ env: AWS_ACCESS_KEY_ID }", "{ file: access }")
        .replace("{ env: AWS_SECRET_ACCESS_KEY }", "{ file: access-secret }")
        .replace("nats://127.0.0.1:4222", &nats.url())
        .replace("amqp://127.0.0.1:5672", &rabbit::shared().url())
        .replace("username: guest", &format!("username: {}", rabbit::USER))
        .replace("{ env: RABBIT_PASSWORD }", "{ file: secret }")
        .replace("{ env: FAAS_PASSWORD }", "{ file: faas }")
        .replace("{ env: AZURE_HOST_KEY }", "{ file: azure }")
        .replace("{ env: AZURE_MASTER_KEY }", "{ file: azure-master }")
}

/// Answers on a subject, for the example of request-reply.
fn answer_quotes(nats: &Server) {
    let mut wire = nats.connect();
    wire.subscribe("quotes.*");
    std::thread::spawn(move || {
        let message = wire.next();
        wire.publish(message.reply.as_deref().unwrap(), "42");
    });
}

/// Functions of Lambda that are called by the examples.
fn functions() -> Lambda {
    Lambda::with(Key::named("EXAMPLE", false), |invocation| {
        Some(match invocation.function.as_str() {
            "orders" => Outcome::json(&serde_json::json!({"statusCode": 201, "body": "made"})),
            _ => Outcome::json(&serde_json::json!({"done": true})),
        })
    })
}

fn run(path: &Path) {
    let text = read(path);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let trials = trials(&text);
    assert!(!trials.is_empty(), "{name} has nothing to try in its header");
    if name == "stored-jetstream.yaml" && Server::version() < (2, 12, 0) {
        return println!("SKIPPED: {name} needs nats-server 2.12 or newer");
    }
    let peers = Peers::start();
    peers.nats.add_stream("ORDERS", &["orders.>"]);
    answer_quotes(&peers.nats);
    if name == "amqp-request-reply.yaml" {
        amqp::answer_once("quotes");
    }
    let mut ledger = None;
    if name == "grpc.yaml" {
        ledger = grpc::Server::start();
        // It cannot be had, which was said.
        if ledger.is_none() {
            return;
        }
    }
    let mut text = on_free_ports(&text, &peers);
    if let Some(ledger) = &ledger {
        text = text.replace("http://127.0.0.1:50051", &ledger.url());
    }
    let gateway = Gateway::run_with(&text, |folder| {
        let secrets = [
            ("secret", rabbit::PASSWORD),
            ("faas", faas::PASSWORD),
            ("azure", azure::HOST_KEY),
            ("azure-master", azure::MASTER_KEY),
        ];
        for (file, secret) in secrets {
            std::fs::write(folder.join(file), secret).unwrap();
        }
        std::fs::write(folder.join("google.json"), peers.google.key_file()).unwrap();
        let key = peers.lambda.key();
        std::fs::write(folder.join("access"), key.access).unwrap();
        std::fs::write(folder.join("access-secret"), key.secret).unwrap();
    });
    eventually("its outbox is ready", || {
        let metrics = gateway.ask_admin("/metrics");
        (!metrics.text().contains("gusset_outbox_ready 0")).then_some(())
    });
    for trial in trials {
        let line = trial.line.replace("127.0.0.1:8080", &gateway.address().to_string());
        let quiet = "curl --silent --show-error --max-time 10 --output /dev/null --write-out '%{http_code}' ";
        let ran = shell::pasted(&line.replacen("curl ", quiet, 1)).ends(0);
        assert_eq!(ran.out, trial.status, "{name}: {line}\n{}", ran.err);
    }
}

#[test]
fn every_example_does_what_its_header_says() {
    let examples = files("examples", ".yaml");
    assert!(examples.len() >= 7, "{examples:?}");
    examples.iter().for_each(|path| run(path));
}

#[test]
fn every_example_passes_check_and_fits_the_schema() {
    let schema: Value = serde_json::from_str(&read("schemas/config.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for path in files("examples", ".yaml") {
        let text = read(&path);
        assert!(
            text.starts_with("# yaml-language-server: $schema=../schemas/config.schema.json\n"),
            "{} does not start with the schema line",
            path.display()
        );
        shell::gusset_run(&["check", "-c", path.to_str().unwrap()]).ends(0);
        let told: Vec<_> =
            validator.iter_errors(&yaml::to_json(&text)).map(|error| error.to_string()).collect();
        assert!(told.is_empty(), "{}: {told:?}", path.display());
    }
}
