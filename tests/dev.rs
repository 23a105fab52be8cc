//! `gusset dev`: what a newcomer sees first must work as it is printed.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::support::{
    Gateway, PATIENCE, eventually, gusset,
    nats::Server,
    shell::{Ran, pasted},
};

const FREE: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// The lines to paste that a gateway has printed, with the lines that continue them.
fn printed(gateway: &Gateway) -> Vec<String> {
    let said = eventually("the greeting is printed", || {
        let said = [gateway.stdout(), gateway.stderr()].concat();
        // It ends with a look at `gusset explain`.
        said.iter().any(|line| line.contains(" explain ")).then_some(said)
    });
    let mut found: Vec<String> = Vec::new();
    let mut continued = false;
    for line in said {
        let line = line.trim();
        if continued {
            let last = found.last_mut().unwrap();
            last.push('\n');
            last.push_str(line);
        } else if line.starts_with("curl ") {
            found.push(line.to_owned());
        } else {
            continue;
        }
        continued = line.ends_with('\\');
    }
    found
}

/// Fails unless the pasted line was answered with success.
fn works(line: &str) -> Ran {
    let with_status =
        line.replacen("curl ", "curl --silent --show-error --fail-with-body --max-time 10 ", 1);
    pasted(&with_status).ends(0)
}

#[test]
fn every_line_that_dev_prints_works_as_printed() {
    let gateway = Gateway::dev(&FREE);
    let lines = printed(&gateway);
    assert!(lines.len() >= 3, "{lines:?}");
    for line in &lines {
        let ran = works(line);
        assert!(!ran.err.contains("Failed"), "{line}: {ran:?}");
    }
    let all = lines.join("\n");
    assert!(all.to_lowercase().contains("ce-"), "no line posts a CloudEvent:\n{all}");
}

#[test]
fn dev_says_that_its_bus_keeps_nothing() {
    let gateway = Gateway::dev(&FREE);
    printed(&gateway);
    let said = [gateway.stdout(), gateway.stderr()].concat().join("\n");
    assert!(said.contains("memory"), "{said}");
}

#[test]
fn subscribe_shows_what_is_published_on_the_bus() {
    let gateway = Gateway::dev(&FREE);
    let seen = subscribe(&gateway, "bus/hello");
    let published = eventually("somebody follows", || {
        let ran = gateway.gusset(&[
            "publish",
            "bus/hello",
            "-d",
            "good morning",
            "--type",
            "com.acme.greeting",
        ]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        seen.recv_timeout(Duration::from_millis(300)).ok()
    });
    let mut shown = published;
    while !shown.contains("good morning") {
        shown.push_str(&seen.recv_timeout(PATIENCE).expect("the event is shown"));
    }
}

#[test]
fn a_published_event_arrives_on_a_server_of_the_users() {
    let server = Server::start();
    let mut subscriber = server.connect();
    subscriber.subscribe("hello");
    let gateway = Gateway::dev(&[&FREE[..], &["--nats", &server.url()]].concat());
    let ran = gateway.gusset(&["publish", "bus/hello", "-d", "good morning", "--id", "7"]).ends(0);
    let message = subscriber.next();
    assert_eq!((message.subject.as_str(), message.text()), ("hello", "good morning"), "{ran:?}");
    assert_eq!(message.header("ce-id"), Some("7"));
    for line in printed(&gateway) {
        works(&line);
    }
}

#[test]
fn ctrl_c_drains_and_is_no_failure() {
    let mut gateway = Gateway::dev(&FREE);
    crate::support::shell::signal("INT", gateway.id());
    assert!(gateway.wait().success());
}

/// `gusset subscribe`, line by line; it ends with the gateway.
fn subscribe(gateway: &Gateway, address: &str) -> mpsc::Receiver<String> {
    let mut child = Command::new(gusset())
        .args(["subscribe", address, "-n", "1", "--admin", &format!("http://{}", gateway.admin())])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        let printed = BufReader::new(child.stdout.take().unwrap());
        for line in printed.lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
        drop(child.kill());
        drop(child.wait());
    });
    lines
}
