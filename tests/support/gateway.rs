//! The program under test, as a child process.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Answer, Client, eventually, gusset, shell};

/// What a file begins with that listens on free ports.
pub(crate) const HEAD: &str = "version: 1\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\n";

/// The name of its file.
pub(crate) const FILE: &str = "gateway.yaml";

/// A running gateway. Dropping it kills it.
pub(crate) struct Gateway {
    child: Child,
    folder: TempDir,
    listeners: Vec<(String, SocketAddr)>,
    admin: SocketAddr,
    out: Lines,
    err: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Gateway {
    /// Runs `rest` below a head that listens on free ports, and waits until it accepts.
    pub(crate) fn start(rest: &str) -> Self {
        Self::run(&format!("{HEAD}{rest}"))
    }

    /// The same in a process that may open so many files.
    pub(crate) fn start_under(files: u64, rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.yaml");
        fs::write(&path, format!("{HEAD}{rest}")).unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {files} && exec \"$@\"")).arg("sh");
        command.arg(gusset()).arg("run").arg("-c").arg(&path).args(["--records", "json"]);
        Self::spawn(command, folder)
    }

    /// Runs a whole file.
    pub(crate) fn run(config: &str) -> Self {
        Self::run_with(config, |_| {})
    }

    /// Runs a whole file after `prepare` has put what it needs beside it.
    pub(crate) fn run_with(config: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        fs::write(folder.path().join(FILE), config).unwrap();
        Self::run_in(folder, &["-c", FILE])
    }

    /// Runs with these arguments in a folder that is there already.
    pub(crate) fn run_in(folder: TempDir, args: &[&str]) -> Self {
        let mut command = Command::new(gusset());
        command.arg("run").args(args).args(["--records", "json"]);
        Self::spawn(command, folder)
    }

    /// Runs a whole file in an environment that has these variables, too.
    pub(crate) fn run_knowing(config: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), config).unwrap();
        let mut command = Command::new(gusset());
        command.args(["run", "-c", FILE, "--records", "json"]);
        command.envs(variables.iter().copied());
        Self::spawn(command, folder)
    }

    /// Runs with these arguments in a folder that is there already, and writes no records.
    pub(crate) fn run_silent(folder: TempDir, args: &[&str]) -> Self {
        let mut command = Command::new(gusset());
        command.arg("run").args(args).args(["--records", "off"]);
        Self::spawn(command, folder)
    }

    /// Runs a whole file and writes no records: of millions of requests they would be what grows.
    pub(crate) fn unrecorded(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), config).unwrap();
        let mut command = Command::new(gusset());
        command.args(["run", "-c", FILE, "--records", "off"]);
        Self::spawn(command, folder)
    }

    /// Kills it at once, as a crash would, and gives its folder back.
    pub(crate) fn crash(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// Writes `rest` into its file, below the head of [`Gateway::start`].
    pub(crate) fn edit(&self, rest: &str) {
        self.write(&format!("{HEAD}{rest}"));
    }

    /// Writes its file anew, in one step.
    pub(crate) fn write(&self, config: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, config).unwrap();
        fs::rename(new, self.folder.path().join(FILE)).unwrap();
    }

    /// What `/api/v1/config` says.
    pub(crate) fn config(&self) -> Value {
        self.ask_admin("/api/v1/config").json()
    }

    /// Waits until so many configurations have been live.
    pub(crate) fn await_generation(&self, generation: u64) -> Value {
        eventually("a configuration goes live", || {
            let config = self.config();
            (config["generation"].as_u64() >= Some(generation)).then_some(config)
        })
    }

    /// Waits until a configuration is refused.
    pub(crate) fn await_refusal(&self) -> Value {
        eventually("a configuration is refused", || {
            let refused = self.config()["refused"].clone();
            (!refused.is_null()).then_some(refused)
        })
    }

    /// Runs `gusset dev` with these arguments.
    pub(crate) fn dev(args: &[&str]) -> Self {
        let mut command = Command::new(gusset());
        command.arg("dev").args(args);
        Self::spawn(command, tempfile::tempdir().unwrap())
    }

    fn spawn(mut command: Command, folder: TempDir) -> Self {
        command
            .current_dir(folder.path())
            .env_remove("GUSSET_ADMIN")
            .env_remove("GUSSET_TOKEN_FILE");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        let mut gateway = Self {
            child,
            folder,
            listeners: Vec::new(),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            out,
            err,
        };
        gateway.await_ports();
        gateway
    }

    /// The admin port is announced last.
    fn await_ports(&mut self) {
        const LISTENING: &str = "gusset: listening on http://";
        let said = eventually("the gateway listens", || {
            let said = self.stderr();
            let ready = said.iter().any(|line| line.starts_with("gusset: admin on http://"));
            let ended = self.child.try_wait().unwrap();
            assert!(ready || ended.is_none(), "gusset ended at once:\n{}", said.join("\n"));
            ready.then_some(said)
        });
        for line in &said {
            if let Some(rest) = line.strip_prefix(LISTENING) {
                let (address, name) = rest.split_once(" (").unwrap();
                let name = name.trim_end_matches(')').to_owned();
                self.listeners.push((name, address.parse().unwrap()));
            } else if let Some(address) = line.strip_prefix("gusset: admin on http://") {
                self.admin = address.trim_end_matches('/').parse().unwrap();
            }
        }
        assert!(!self.listeners.is_empty(), "no listener was announced:\n{}", said.join("\n"));
    }

    /// Where the first listener accepts.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listeners[0].1
    }

    /// Where the listener of this name accepts.
    pub(crate) fn listener(&self, name: &str) -> SocketAddr {
        self.listeners.iter().find(|(known, _)| known == name).unwrap().1
    }

    /// Where the admin port accepts.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The folder that it runs in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A connection to the first listener.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own, sent as it is written here.
    pub(crate) fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        self.client().round_trip(request)
    }

    /// A GET on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: gateway.test\r\n\r\n"))
    }

    /// A POST on a connection of its own; `headers` are whole lines without line breaks.
    pub(crate) fn post(&self, path: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Answer {
        self.send(request("POST", path, headers, body.as_ref()))
    }

    /// Asks on the admin port; `headers` are whole lines without line breaks.
    pub(crate) fn send_admin(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let host = self.admin().to_string();
        let request = String::from_utf8(request(method, path, headers, body.as_ref())).unwrap();
        Client::connect(self.admin()).round_trip(request.replacen("gateway.test", &host, 1))
    }

    /// A GET on the admin port.
    pub(crate) fn ask_admin(&self, path: &str) -> Answer {
        let host = self.admin();
        Client::connect(host).round_trip(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// The value of a metric by its name and labels; 0 if it is not there.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let said = self.ask_admin("/metrics");
        let line = said.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Runs another command of the same binary against this gateway's admin port.
    pub(crate) fn gusset(&self, args: &[&str]) -> shell::Ran {
        let admin = format!("http://{}", self.admin);
        shell::gusset_in(self.folder.path(), args, &[("GUSSET_ADMIN", &admin)])
    }

    /// What it has printed to standard error.
    pub(crate) fn stderr(&self) -> Vec<String> {
        snapshot(&self.err)
    }

    /// What it has printed to standard output.
    pub(crate) fn stdout(&self) -> Vec<String> {
        snapshot(&self.out)
    }

    /// The record of the request whose answer had this id, once it is written.
    pub(crate) fn record(&self, request_id: &str) -> Value {
        eventually("the record is written", || {
            let lines = self.stdout();
            lines.iter().find(|line| line.contains(request_id)).map(|line| {
                serde_json::from_str(line).unwrap_or_else(|fault| panic!("{line}: {fault}"))
            })
        })
    }

    /// Bytes of memory that it has in use.
    pub(crate) fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
    }

    /// Asks it to end, as a service manager does.
    pub(crate) fn terminate(&self) {
        shell::signal("TERM", self.child.id());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the gateway ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            // The test runner shows this with the failed test.
            println!("gusset said:\n  {}", self.stderr().join("\n  "));
            println!("its records:\n  {}", self.stdout().join("\n  "));
        }
    }
}

/// A request with a length.
pub(crate) fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: gateway.test\r\n");
    for line in headers {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

fn collect(from: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let into = Arc::clone(&lines);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    lines
}

fn snapshot(lines: &Lines) -> Vec<String> {
    lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
