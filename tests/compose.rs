//! docker-compose.yml and the Dockerfile, as far as they can be checked without an engine.

use serde_json::Value;

use crate::support::{read, root, shell, yaml};

fn compose() -> Value {
    yaml::to_json(&read("docker-compose.yml"))
}

fn services() -> serde_json::Map<String, Value> {
    compose()["services"].as_object().unwrap().clone()
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().cloned().unwrap_or_default();
    list.iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_gateway_a_broker_and_the_samples_are_there_and_watched() {
    let services = services();
    for name in ["gateway", "nats", "samples"] {
        let service = services.get(name).unwrap_or_else(|| panic!("no service {name}"));
        assert!(service.get("image").or(service.get("build")).is_some(), "{name}");
        assert!(!texts(&service["healthcheck"]["test"]).is_empty(), "{name} has no health check");
    }
    let names: Vec<_> =
        services["gateway"]["depends_on"].as_object().unwrap().keys().cloned().collect();
    assert!(names.iter().all(|name| services.contains_key(name)), "{names:?}");
}

#[test]
fn every_file_that_is_mounted_or_built_from_is_there() {
    for (name, service) in services() {
        for mount in texts(&service["volumes"]) {
            let from = mount.split(':').next().unwrap();
            if from.starts_with('.') {
                assert!(root().join(from).exists(), "{name} mounts {from}");
                assert!(mount.ends_with(":ro"), "{name} may write to {from}");
            }
        }
        if service.get("build").is_some() {
            assert!(root().join("Dockerfile").exists());
        }
    }
}

#[test]
fn the_mounted_configuration_passes_check() {
    let mounts = texts(&services()["gateway"]["volumes"]);
    let file = mounts[0].split(':').next().unwrap();
    let path = root().join(file);
    shell::gusset_run(&["check", "-c", path.to_str().unwrap()]).ends(0);
}

#[test]
fn ports_are_published_once_and_are_those_of_the_configuration() {
    let mut published = Vec::new();
    for (name, service) in services() {
        for port in texts(&service["ports"]) {
            let parts: Vec<_> = port.rsplit(':').collect();
            assert!(parts.len() >= 2, "{name}: {port} says no port of the host");
            published.push(parts[1].to_owned());
        }
    }
    let count = published.len();
    published.sort();
    published.dedup();
    assert_eq!(published.len(), count, "a port is published twice");
    let listen = yaml::to_json(&read("deploy/gateway.yaml"))["listen"].as_str().unwrap().to_owned();
    let port = listen.rsplit(':').next().unwrap().to_owned();
    assert!(
        published.contains(&port),
        "the gateway listens on {port}, published are {published:?}"
    );
}

#[test]
fn upstreams_are_services_of_the_same_file() {
    let services = services();
    let config = yaml::to_json(&read("deploy/gateway.yaml"));
    for (name, upstream) in config["upstreams"].as_object().unwrap() {
        let url = upstream["url"].as_str().unwrap();
        let host = url.split("://").nth(1).unwrap().split([':', '/']).next().unwrap();
        assert!(services.contains_key(host), "{name} leads to {host}, which is no service");
    }
}

#[test]
fn the_curl_lines_of_the_readme_have_routes() {
    let readme = read("README.md");
    let config = yaml::to_json(&read("deploy/gateway.yaml"));
    let (_, below) = readme.split_once("docker compose up").expect("README shows how");
    let section = below.split("\n## ").next().unwrap();
    let paths: Vec<_> = section
        .split("http://127.0.0.1:8080")
        .skip(1)
        .map(|rest| rest.split([' ', '\'', '"', '\n', '`']).next().unwrap().to_owned())
        .collect();
    assert!(!paths.is_empty(), "README has no line to try with compose");
    let routes = config["routes"].as_array().unwrap();
    for path in paths {
        let served = routes.iter().any(|route| {
            let matching = &route["match"];
            let prefix = matching["prefix"].as_str();
            let literal = matching["path"].as_str().map(|path| path.split('{').next().unwrap());
            prefix.or(literal).is_some_and(|start| path.starts_with(start))
                || (matching.get("event").is_some() && path.starts_with("/events"))
        });
        assert!(served, "no route of deploy/gateway.yaml serves {path}");
    }
}

#[test]
fn the_image_does_not_run_as_root_and_watches_itself() {
    let file = read("Dockerfile");
    let stages = file.lines().filter(|line| line.starts_with("FROM ")).count();
    assert_eq!(stages, 2, "one stage builds, one runs");
    for line in ["USER ", "EXPOSE ", "HEALTHCHECK "] {
        assert!(file.lines().any(|have| have.starts_with(line)), "no {line}");
    }
    let rust = read("Cargo.toml");
    let version = rust.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(file.contains(&format!("rust:{version}")), "the image builds with another Rust");
}
