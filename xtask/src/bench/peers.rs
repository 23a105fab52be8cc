//! The upstream and the proxies in front of it, each with one worker on core 0.

use std::{
    cell::Cell,
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::cpu;
use crate::process::{self, Beside, built};

/// A proxy that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gusset,
    Hyper,
    Nginx,
    Envoy,
}

/// A proxy that runs.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it listens on the loopback address.
    pub(crate) port: u16,
    /// Where Gusset's admin API is.
    pub(crate) admin: u16,
    /// Resident megabytes before its first request.
    pub(crate) fresh_mb: f64,
    process: Beside,
}

/// The folder of configurations and logs, and the upstream that all proxies lead to.
#[derive(Debug)]
pub(crate) struct Lab {
    /// The folder.
    pub(crate) folder: PathBuf,
    nginx: PathBuf,
    upstream_port: u16,
    started: Cell<usize>,
    _upstream: Beside,
}

/// What the metadata server of Google Cloud gives: a token that is good until 2100, without its
/// signature. It says: {"aud":"http://bench","exp":4102444800}.
const TOKEN: &str =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJodHRwOi8vYmVuY2giLCJleHAiOjQxMDI0NDQ4MDB9.";

const ANSWER: &str = r#"{"ok":true,"id":"0123456789"}"#;
/// The same as a function of Lambda returns it.
const RETURNED: &str = r#"{"statusCode":200,"headers":{"content-type":"application/json"},"body":"{\\"ok\\":true,\\"id\\":\\"0123456789\\"}"}"#;

impl Kind {
    /// A peer by the name that is written on the command line.
    pub(crate) fn named(name: &str) -> Result<Self> {
        [Self::Gusset, Self::Hyper, Self::Nginx, Self::Envoy]
            .into_iter()
            .find(|kind| kind.name() == name)
            .with_context(|| format!("no peer {name:?}; there are gusset, hyper, nginx and envoy"))
    }

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gusset => "gusset",
            Self::Hyper => "hyper",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
        }
    }
}

impl Peer {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Lab {
    /// Starts the upstream on core 1.
    pub(crate) fn start(folder: PathBuf) -> Result<Self> {
        let port = free_port()?;
        let config = folder.join("upstream.conf");
        let server = format!(
            "location / {{ return 200 '{ANSWER}'; }} \
             location /2015-03-31/ {{ return 200 '{RETURNED}'; }} \
             location /computeMetadata/ {{ return 200 '{TOKEN}{}'; }}",
            // As long as a signature is.
            "s".repeat(342)
        );
        fs::write(&config, nginx_config(&folder, "upstream", port, "", &server))?;
        let nginx = process::find("nginx").context("nginx is not here")?;
        let mut upstream = pinned(1, &nginx);
        upstream.arg("-p").arg(&folder).arg("-c").arg(&config);
        let mut process = quietly(&folder, "upstream", &mut upstream)?;
        listening(&mut process, port)?;
        Ok(Self { folder, nginx, upstream_port: port, started: Cell::new(0), _upstream: process })
    }

    /// Starts a proxy that leads everything to the upstream.
    pub(crate) fn peer(&self, kind: Kind, envoy: Option<&Path>) -> Result<Peer> {
        let port = free_port()?;
        let upstream = format!("127.0.0.1:{}", self.upstream_port);
        let command = match kind {
            Kind::Gusset => return self.gusset(ONE_ROUTE),
            Kind::Hyper => {
                let mut command = pinned(0, built("dist", "hyper_proxy")?);
                command.args([&format!("127.0.0.1:{port}"), &upstream]);
                command
            }
            Kind::Nginx => {
                let group = format!(
                    "upstream up {{ server {upstream}; keepalive 512; \
                     keepalive_requests 1000000000; }}"
                );
                let server = "location / { proxy_pass http://up; proxy_http_version 1.1; \
                              proxy_set_header Connection \"\"; }";
                let config = self.folder.join("nginx.conf");
                fs::write(&config, nginx_config(&self.folder, "nginx", port, &group, server))?;
                let mut command = pinned(0, &self.nginx);
                command.arg("-p").arg(&self.folder).arg("-c").arg(config);
                command
            }
            Kind::Envoy => {
                let config = self.folder.join("envoy.json");
                fs::write(&config, envoy_config(port, self.upstream_port))?;
                let mut command = pinned(0, envoy.context("Envoy is not here")?);
                command.arg("-c").arg(config);
                command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "warn"]);
                command
            }
        };
        self.start_peer(kind, port, command)
    }

    /// Starts Gusset with `rest` below the head of its configuration; `UPSTREAM` in it is the
    /// upstream's address. Records are on, as readable lines, and go to a file.
    pub(crate) fn gusset(&self, rest: &str) -> Result<Peer> {
        let (port, admin) = (free_port()?, free_port()?);
        let head = format!("version: 1\nlisten: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\n");
        let upstream = format!("127.0.0.1:{}", self.upstream_port);
        let config = self.folder.join(format!("gusset-{port}.yaml"));
        fs::write(&config, head + &rest.replace("UPSTREAM", &upstream))?;
        let mut command = pinned(0, built("dist", "gusset")?);
        command.env("GCE_METADATA_HOST", &upstream);
        command.arg("run").arg("-c").arg(config);
        Ok(Peer { admin, ..self.start_peer(Kind::Gusset, port, command)? })
    }

    fn start_peer(&self, kind: Kind, port: u16, mut command: Command) -> Result<Peer> {
        let number = self.started.replace(self.started.get() + 1);
        let log = format!("{}-{number}", kind.name());
        let mut process = quietly(&self.folder, &log, &mut command)?;
        listening(&mut process, port).with_context(|| {
            format!("{} does not listen; see {log}.log in {}", kind.name(), self.folder.display())
        })?;
        // What a start leaves to the background is done by then.
        process::pause(500);
        let fresh_mb = cpu::resident_mb(process.id());
        Ok(Peer { kind, port, admin: 0, fresh_mb, process })
    }
}

/// Everything goes to the upstream, under the default policies.
pub(crate) const ONE_ROUTE: &str = "
upstreams:
  web: { kind: http, url: http://UPSTREAM }
routes:
  - { name: all, match: { prefix: / }, to: web }
";

/// Everything goes to a function of Lambda: an envelope, signed, and an answer out of one.
pub(crate) const LAMBDA: &str = "
upstreams:
  aws:
    kind: lambda
    region: eu-west-1
    endpoint: http://UPSTREAM
    credentials:
      access_key: { file: lambda-key }
      secret_key: { file: lambda-key }
      session_token: { file: lambda-key }
routes:
  - { name: all, match: { prefix: / }, to: aws/small }
";

/// Everything goes to one function of each platform that is called over HTTP.
pub(crate) const PLATFORMS: [(&str, &str); 4] = [
    (
        "openfaas",
        "
upstreams:
  faas: { kind: openfaas, url: http://UPSTREAM }
routes:
  - { name: all, match: { prefix: / }, to: faas/small }
",
    ),
    (
        "azure-functions",
        "
upstreams:
  az: { kind: azure-functions, url: http://UPSTREAM, key: { file: azure-key } }
routes:
  - { name: all, match: { prefix: / }, to: az/small }
",
    ),
    (
        "google-functions",
        "
upstreams:
  gcp: { kind: google-functions, functions: { small: http://UPSTREAM }, credentials: metadata }
routes:
  - { name: all, match: { prefix: / }, to: gcp/small }
",
    ),
    (
        "knative",
        "
upstreams:
  kn: { kind: knative, services: { small: http://UPSTREAM } }
routes:
  - { name: all, match: { prefix: / }, to: kn/small }
",
    ),
];

/// The same with every policy that is built. No limit is ever reached.
pub(crate) const ARMED: &str = "
upstreams:
  web:
    kind: http
    url: http://UPSTREAM
    breaker: { failures: 50%, window: 10s, min_calls: 20, open: 5s, probes: 3 }
    concurrency: 1000
    retry_budget: 20%
policies:
  default:
    timeout: 15s
    try_timeout: 5s
    retry: { attempts: 3, on: [connect, throttled, reset, failed] }
    rate_limit:
      - { rate: 1000000/s, burst: 1000000, key: address }
      - { rate: 1000000/s, burst: 1000000 }
routes:
  - { name: all, match: { prefix: / }, to: web }
";

/// A configuration of so many routes, each with a literal segment and a parameter.
pub(crate) fn many_routes(count: usize) -> String {
    let route = |n: usize| {
        format!(
            "  - {{ name: route-{n}, match: {{ path: \"/area-{n}/things/{{id}}\" }}, to: web }}\n"
        )
    };
    let routes: String = (0..count).map(route).collect();
    format!("upstreams:\n  web: {{ kind: http, url: http://UPSTREAM }}\nroutes:\n{routes}")
}

/// A command that runs on one core.
pub(crate) fn pinned(core: u8, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Starts a program that prints into a log file of its own.
pub(crate) fn quietly(folder: &Path, name: &str, command: &mut Command) -> Result<Beside> {
    let log = fs::File::create(folder.join(format!("{name}.log"))).context("cannot make a log")?;
    let errors = log.try_clone().context("cannot use the log twice")?;
    Beside::start(command.stdout(Stdio::from(log)).stderr(Stdio::from(errors)))
}

/// Waits until something accepts on the port.
pub(crate) fn listening(process: &mut Beside, port: u16) -> Result<()> {
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        process.alive()?;
        process::pause(50);
    }
    bail!("nothing listens on port {port} after 10 s")
}

/// A port that is free now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(listener.local_addr().context("the socket has no address")?.port())
}

fn nginx_config(folder: &Path, name: &str, port: u16, group: &str, server: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.err warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; tcp_nodelay on; default_type application/json;
  keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp;
  fastcgi_temp_path {folder}/tmp; uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
  {group}
  server {{ listen 127.0.0.1:{port} backlog=4096; {server} }}
}}
"
    )
}

/// Envoy as plain as it can be: one listener, one route, one cluster, limits out of the way.
fn envoy_config(port: u16, upstream: u16) -> String {
    let address =
        |port| format!(r#"{{"socket_address": {{"address": "127.0.0.1", "port_value": {port}}}}}"#);
    let types = "type.googleapis.com/envoy.extensions.filters";
    let (listen, upstream) = (address(port), address(upstream));
    format!(
        r#"{{"static_resources": {{
  "listeners": [{{"name": "in", "address": {listen}, "filter_chains": [{{"filters": [{{
    "name": "http",
    "typed_config": {{
      "@type": "{types}.network.http_connection_manager.v3.HttpConnectionManager",
      "stat_prefix": "in",
      "route_config": {{"virtual_hosts": [{{"name": "all", "domains": ["*"], "routes": [
        {{"match": {{"prefix": "/"}}, "route": {{"cluster": "web", "timeout": "15s"}}}}]}}]}},
      "http_filters": [{{"name": "router", "typed_config": {{
        "@type": "{types}.http.router.v3.Router"}}}}]}}}}]}}]}}],
  "clusters": [{{"name": "web", "type": "STATIC", "connect_timeout": "1s",
    "circuit_breakers": {{"thresholds": [
      {{"max_connections": 8192, "max_requests": 8192, "max_pending_requests": 8192}}]}},
    "load_assignment": {{"cluster_name": "web", "endpoints": [{{"lb_endpoints": [
      {{"endpoint": {{"address": {upstream}}}}}]}}]}}}}]}}}}
"#
    )
}
