//! A gateway whose configuration the admin API owns.

use std::fs;

use crate::support::{Answer, Gateway, gateway::HEAD, shell};

const YAML: &str = "Content-Type: application/yaml";

fn text(body: &str) -> String {
    format!("{HEAD}routes: [{{ name: only, respond: {{ body: {body} }} }}]\n")
}

/// A gateway with a state folder that begins with a file.
fn seeded(body: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("first.yaml"), text(body)).unwrap();
    Gateway::run_in(folder, &["--state", "data", "-c", "first.yaml"])
}

fn etag(gateway: &Gateway) -> String {
    let answer = gateway.ask_admin("/api/v1/config");
    answer.header("etag").unwrap().to_owned()
}

fn put(gateway: &Gateway, meant: &str, media: &str, text: &str) -> Answer {
    let meant = format!("If-Match: {meant}");
    gateway.send_admin("PUT", "/api/v1/config", &[media, &meant], text)
}

fn roll_back(gateway: &Gateway) -> Answer {
    let headers = ["Content-Type: application/json", "If-Match: *"];
    gateway.send_admin("POST", "/api/v1/config/rollback", &headers, "{}")
}

#[test]
fn a_version_that_is_put_is_live_at_once_and_after_a_crash() {
    let gateway = seeded("one");
    let first = etag(&gateway);
    let answer = put(&gateway, &first, YAML, &text("two"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    // No waiting: whoever has the answer is served from the new version.
    assert_eq!(gateway.get("/").text(), "two");
    let told = answer.json();
    assert_eq!((&told["by"], &told["source"]["kind"]), (&"api".into(), &"api".into()));
    assert_eq!(answer.header("etag").unwrap().trim_matches('"'), told["version"]);
    let folder = gateway.crash();
    // What it began with counts no more, and need not be there.
    let gateway = Gateway::run_in(folder, &["--state", "data", "-c", "first.yaml"]);
    assert_eq!(gateway.get("/").text(), "two");
    let folder = gateway.crash();
    fs::remove_file(folder.path().join("first.yaml")).unwrap();
    let gateway = Gateway::run_in(folder, &["--state", "data"]);
    assert_eq!(gateway.get("/").text(), "two");
    let live: Vec<_> = gateway.config()["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kept| (kept["number"].as_u64().unwrap(), kept["live"] == true))
        .collect();
    assert_eq!(live, [(1, false), (2, true)]);
}

#[test]
fn a_change_says_which_version_it_is_meant_for() {
    let gateway = seeded("one");
    let first = etag(&gateway);
    gateway
        .send_admin("PUT", "/api/v1/config", &[YAML], text("two"))
        .problem(428, "precondition_required");
    assert_eq!(put(&gateway, &first, YAML, &text("two")).status, 200);
    put(&gateway, &first, YAML, &text("three")).problem(412, "precondition_failed");
    put(&gateway, "nonsense", YAML, &text("three")).problem(400, "bad_request");
    assert_eq!(gateway.get("/").text(), "two");
    assert_eq!(put(&gateway, "*", YAML, &text("three")).status, 200);
    assert_eq!(gateway.get("/").text(), "three");
}

#[test]
fn a_wrong_version_changes_nothing_and_is_answered_with_every_place() {
    let gateway = seeded("one");
    let wrong = format!("{HEAD}routes: [{{ name: only, to: nowhere, x: 1 }}]\n");
    let problem = put(&gateway, "*", YAML, &wrong).problem(422, "unprocessable");
    let problems = problem["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{problem}");
    assert_eq!((&problems[0]["line"], &problems[0]["path"]), (&4.into(), &"routes[0].to".into()));
    put(&gateway, "*", YAML, "a: [").problem(422, "unprocessable");
    put(&gateway, "*", YAML, "").problem(422, "unprocessable");
    put(&gateway, "*", "Content-Type: text/plain", &text("two")).problem(415, "unsupported_media");
    assert_eq!(gateway.get("/").text(), "one");
    let config = gateway.config();
    assert_eq!((&config["generation"], &config["stale"]), (&1.into(), &false.into()));
    assert_eq!(config["versions"].as_array().unwrap().len(), 1);
    assert!(!config["refused"]["problems"].as_array().unwrap().is_empty());
}

#[test]
fn json_is_a_configuration_too() {
    let gateway = seeded("one");
    let json = serde_json::json!({
        "version": 1, "listen": "127.0.0.1:0", "admin": "127.0.0.1:0",
        "routes": [{"name": "only", "respond": {"body": "tab\tand \u{1d11e} \"quoted\""}}],
    });
    let media = "Content-Type: application/json";
    let answer = put(&gateway, "*", media, &format!("{json:#}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(gateway.get("/").text(), "tab\tand \u{1d11e} \"quoted\"");
    put(&gateway, "*", media, &text("two")).problem(400, "bad_request");
}

#[test]
fn one_goes_back_version_by_version() {
    let gateway = seeded("one");
    for body in ["two", "three"] {
        assert_eq!(put(&gateway, "*", YAML, &text(body)).status, 200);
    }
    for body in ["two", "one"] {
        let answer = roll_back(&gateway);
        assert_eq!((answer.status, &answer.json()["by"]), (200, &"rollback".into()));
        assert_eq!(gateway.get("/").text(), body);
    }
    roll_back(&gateway).problem(409, "no_previous_version");
    let folder = gateway.crash();
    let gateway = Gateway::run_in(folder, &["--state", "data"]);
    assert_eq!(gateway.get("/").text(), "one");
}

#[test]
fn a_version_whose_address_is_taken_is_live_neither_now_nor_after_a_restart() {
    let gateway = seeded("one");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let other = text("two").replacen("listen: 127.0.0.1:0", &format!("listen: {address}"), 1);
    let problem = put(&gateway, "*", YAML, &other).problem(422, "unprocessable");
    assert_eq!(problem["problems"][0]["path"], "listen");
    assert_eq!(gateway.get("/").text(), "one");
    let gateway = Gateway::run_in(gateway.crash(), &["--state", "data"]);
    assert_eq!(gateway.get("/").text(), "one");
}

#[test]
fn a_live_version_that_is_damaged_gives_way_to_the_one_before_and_says_so() {
    let gateway = seeded("one");
    assert_eq!(put(&gateway, "*", YAML, &text("two")).status, 200);
    let folder = gateway.crash();
    fs::write(folder.path().join("data/config/000002.yaml"), "routes: {").unwrap();
    let gateway = Gateway::run_in(folder, &["--state", "data"]);
    assert_eq!(gateway.get("/").text(), "one");
    assert_eq!(gateway.config()["by"], "last_good");
    assert_eq!(gateway.config()["stale"], true);
    assert!(gateway.stderr().join("\n").contains("THE LIVE CONFIGURATION IS BROKEN"));
}

#[test]
fn an_empty_folder_without_a_seed_starts_with_nothing_and_takes_a_configuration() {
    // It listens on the default ports, which another test or gateway may have.
    let folder = tempfile::tempdir().unwrap();
    let second = tempfile::tempdir().unwrap();
    let args = ["run", "--state", "data"];
    let ran = [folder, second].map(|folder| {
        let mut command = std::process::Command::new(crate::support::gusset());
        let child = command.args(args).current_dir(folder.path()).spawn().unwrap();
        (child, folder)
    });
    for (mut child, folder) in ran {
        crate::support::eventually("it has begun", || {
            let begun = folder.path().join("data/config/000001.yaml").is_file();
            (begun || child.try_wait().unwrap().is_some()).then_some(())
        });
        drop(child.kill());
        drop(child.wait());
        let text = fs::read_to_string(folder.path().join("data/config/000001.yaml")).unwrap();
        assert_eq!(text, "version: 1\n");
    }
}

#[test]
fn a_gateway_that_serves_a_file_is_not_changed_over_the_api() {
    let gateway = Gateway::run(&text("one"));
    put(&gateway, "*", YAML, &text("two")).problem(409, "configuration_is_file");
    roll_back(&gateway).problem(409, "configuration_is_file");
    let folder = gateway.folder().to_owned();
    let ran =
        gateway.gusset(&["apply", "-f", folder.join("gateway.yaml").to_str().unwrap()]).ends(1);
    assert!(ran.err.contains("change it there"), "{}", ran.err);
    assert_eq!(gateway.get("/").text(), "one");
}

#[test]
fn two_gateways_do_not_share_a_state_folder() {
    let gateway = seeded("one");
    let ran = shell::gusset_in(gateway.folder(), &["run", "--state", "data"], &[]).ends(2);
    assert!(ran.err.contains("another gateway"), "{}", ran.err);
}

#[test]
fn apply_shows_a_difference_applies_it_and_takes_it_back() {
    let gateway = seeded("one");
    let file = gateway.folder().join("mine.yaml");
    fs::write(&file, text("two")).unwrap();
    let diff = gateway.gusset(&["apply", "-f", "mine.yaml", "--diff"]).ends(0);
    assert!(
        diff.out.contains("\n-routes: [{ name: only, respond: { body: one } }]\n+"),
        "{}",
        diff.out
    );
    assert_eq!(gateway.get("/").text(), "one", "a difference changes nothing");
    let applied = gateway.gusset(&["apply", "-f", "mine.yaml"]).ends(0);
    assert!(applied.out.contains("is live (1 routes, 0 upstreams)"), "{}", applied.out);
    assert_eq!(gateway.get("/").text(), "two");
    assert_eq!(
        gateway.gusset(&["apply", "-f", "mine.yaml", "--diff"]).ends(0).out,
        "no difference\n"
    );

    fs::write(&file, format!("{HEAD}routes: [{{ name: only }}]\n")).unwrap();
    let wrong = gateway.gusset(&["apply", "-f", "mine.yaml"]).ends(1);
    assert!(wrong.err.contains("mine.yaml:4:10: routes[0]"), "{}", wrong.err);
    assert_eq!(gateway.get("/").text(), "two");
    gateway.gusset(&["apply", "--rollback"]).ends(0);
    assert_eq!(gateway.get("/").text(), "one");
}
