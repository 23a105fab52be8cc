//! A real Lambda: cargo-lambda's emulator of the service and of the Runtime API, and a function that
//! speaks that API. Skipped, visibly, where the emulator is not to be had.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::{Value, json};

use super::{config, route};
use crate::support::{Client, Gateway, eventually, free_port, gateway::request};

/// The emulator. It ends with its value.
struct Emulator {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("cargo-lambda"))
        .find(|file| file.is_file())
}

impl Emulator {
    fn start() -> Option<Self> {
        let Some(program) = program() else {
            println!("SKIPPED: cargo-lambda is not in PATH; `cargo xtask test` fetches it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        // It looks for a package, which it does not build.
        let package = "[package]\nname = \"greeter\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        std::fs::write(folder.path().join("Cargo.toml"), package).unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/main.rs"), "fn main() {}\n").unwrap();
        let port = free_port();
        let child = Command::new(program)
            .args(["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1"])
            .args(["--invoke-port", &port.to_string()])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let emulator = Self { child, address, _folder: folder };
        eventually("the emulator listens", || std::net::TcpStream::connect(address).ok());
        Some(emulator)
    }

    /// Runs a function: asks the Runtime API for calls and answers each (Lambda Runtime API,
    /// 2018-06-01).
    fn run(&self, name: &'static str, function: impl Fn(Value) -> Value + Send + 'static) {
        let address = self.address;
        thread::spawn(move || {
            let base = format!("/.rt/{name}/2018-06-01/runtime/invocation");
            loop {
                let mut wire = Client::connect(address);
                wire.send(request("GET", &format!("{base}/next"), &[], b""));
                let Some(head) = wire.try_head() else { return };
                let Some((body, _)) = wire.body(&head) else { return };
                let id = head.header("lambda-runtime-aws-request-id").unwrap().to_owned();
                let answer = function(serde_json::from_slice(&body).unwrap());
                let mut wire = Client::connect(address);
                let path = format!("{base}/{id}/response");
                wire.send(request("POST", &path, &[], answer.to_string().as_bytes()));
                if wire.try_head().is_none() {
                    return;
                }
            }
        });
    }
}

#[test]
fn a_function_behind_the_runtime_api_answers_through_the_gateway() {
    let Some(emulator) = Emulator::start() else { return };
    emulator.run("greeter", |event| {
        let path = event["rawPath"].as_str().unwrap_or("none");
        json!({"statusCode": 201, "headers": {"x-from": "lambda"}, "body": format!("hello {path}")})
    });
    let upstream = format!(
        "kind: lambda, region: x-1, endpoint: \"http://{}\", credentials: {{ access_key: {{ file: \
         key }}, secret_key: {{ file: key }} }}",
        emulator.address
    );
    let gateway = Gateway::run_with(&config(&upstream, "", &route("greeter", "")), |folder| {
        std::fs::write(folder.join("key"), "k").unwrap();
    });
    let answer = gateway.post("/tea", &[], "x");
    assert_eq!((answer.status, answer.text()), (201, "hello /tea"));
    assert_eq!(answer.header("x-from"), Some("lambda"));
}
