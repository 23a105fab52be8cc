//! A real nats-server, and stores on it.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use outbox::{
    embedded::Progressed,
    jetstream::{Connection, Jetstream, Settings, Tell},
};
use tempfile::TempDir;
use tokio::sync::watch;

/// A server that can be killed and started again with what it has on its disk.
pub(crate) struct Server {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// A server, if there is one that is new enough.
    pub(crate) fn start() -> Option<Self> {
        let program = program()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let text =
            format!("listen: 127.0.0.1:{port}\njetstream {{ store_dir: {:?} }}\n", store.display());
        fs::write(folder.path().join("nats.conf"), text).unwrap();
        let mut server = Self { child: None, port, folder };
        server.restart(&program);
        Some(server)
    }

    fn restart(&mut self, program: &PathBuf) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(self.folder.path().join("nats.conf")).stdin(Stdio::null());
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < super::PATIENCE, "nats-server does not start");
            std::thread::yield_now();
        }
    }

    /// Kills it, and starts it again on what it has on its disk.
    pub(crate) fn crash(&mut self) {
        self.kill();
        self.restart(&program().unwrap());
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A store as one of several gateways has it.
    pub(crate) async fn open(&self, change: impl FnOnce(&mut Settings)) -> Jetstream {
        let store = self.open_soon(change);
        let ready = async {
            let mut progress = store.progress();
            progress.wait_for(|now| *now == Progressed::Ready).await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(20), ready).await.expect("the store is ready");
        store
    }

    /// The same, without waiting for it.
    pub(crate) fn open_soon(&self, change: impl FnOnce(&mut Settings)) -> Jetstream {
        let mut settings = Settings {
            stream: "BOX".to_owned(),
            replicas: 1,
            max_size: 64 << 20,
            per_target: 100,
            dead_max_size: 16 << 20,
            dead_keep: Duration::from_hours(1),
            dedupe: Duration::from_mins(10),
            tell: Tell::new(|_| {}),
        };
        change(&mut settings);
        Jetstream::open(self.connect(), settings)
    }

    fn connect(&self) -> Connection {
        let (told, up) = watch::channel(false);
        let options = async_nats::ConnectOptions::new()
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|_| Duration::from_millis(50))
            .event_callback(move |event| {
                match event {
                    async_nats::Event::Connected => drop(told.send_replace(true)),
                    async_nats::Event::Disconnected => drop(told.send_replace(false)),
                    _ => {}
                }
                async {}
            });
        let url = format!("nats://127.0.0.1:{}", self.port);
        let connecting = options.connect(url);
        let client = futures_util::FutureExt::now_or_never(connecting).unwrap().unwrap();
        Connection { client, up }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a store has told.
pub(crate) fn told() -> (Arc<Mutex<Vec<String>>>, Tell) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&told);
    (told, Tell::new(move |trouble| into.lock().unwrap().push(trouble.to_string())))
}

/// The newest nats-server that there is, if it is new enough: that of the system may not be.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(system);
    let programs = folders.map(|folder| folder.join("nats-server")).filter(|file| file.is_file());
    let new = programs.into_iter().find(|program| {
        let said = Command::new(program).arg("--version").output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let version = said.trim().rsplit('v').next().unwrap().split('.');
        let version: Vec<u32> = version.filter_map(|number| number.parse().ok()).collect();
        version >= vec![2, 12]
    });
    if new.is_none() {
        println!("SKIPPED: there is no nats-server of 2.12 or newer in the PATH");
    }
    new
}
