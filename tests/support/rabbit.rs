//! A real rabbitmq-server on free ports, with a node, a name server and a folder of its own. It ends
//! with the process that started it, whatever becomes of that: its shell reads a pipe of ours.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The user of every broker; RabbitMQ's own `guest` is not there.
pub(crate) const USER: &str = "shop";

/// The user's password.
pub(crate) const PASSWORD: &str = "s3cret-hunter2";

/// The largest message that a broker takes, in bytes.
pub(crate) const MESSAGE_MAX: usize = 1_000_000;

/// A broker takes seconds to start, and more where others are at work.
const STARTING: Duration = Duration::from_secs(60);

/// A broker that can be killed and started again on its port with what it has on disk.
pub(crate) struct Rabbit {
    node: Option<Child>,
    shell: Option<ChildStdin>,
    /// Ends with its pipe, as the node does.
    _names: Child,
    folder: TempDir,
    port: u16,
    asked: AtomicUsize,
}

/// The broker of all tests that leave it as it is. They use queues of their own.
pub(crate) fn shared() -> &'static Rabbit {
    static SHARED: LazyLock<Rabbit> = LazyLock::new(|| Rabbit::start_with(""));
    &SHARED
}

/// The broker of tests that break it, one after the other. It is up when it is handed out.
pub(crate) fn breakable() -> MutexGuard<'static, Rabbit> {
    static BREAKABLE: LazyLock<Mutex<Rabbit>> =
        LazyLock::new(|| Mutex::new(Rabbit::start_with("")));
    let mut rabbit = BREAKABLE.lock().unwrap_or_else(PoisonError::into_inner);
    if rabbit.node.as_mut().is_none_or(|node| node.try_wait().unwrap().is_some()) {
        rabbit.restart();
    }
    rabbit.eval("rabbit_alarm:clear_alarm({resource_limit, memory, node()})");
    rabbit
}

impl Rabbit {
    /// A broker with these lines in its configuration, in which `DIR` is its folder.
    pub(crate) fn start_with(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config, "")
    }

    /// A broker in a folder in which files are already, with these plugins.
    pub(crate) fn start_in(folder: TempDir, config: &str, plugins: &str) -> Self {
        let [port, distribution, names] = free_ports();
        let path = folder.path();
        let config = config.replace("DIR", path.to_str().unwrap());
        let text = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}
default_user = {USER}
default_pass = {PASSWORD}
vm_memory_high_watermark.absolute = 512MiB
disk_free_limit.absolute = 1MB
max_message_size = {MESSAGE_MAX}
log.file.level = info
{config}
"
        );
        fs::write(path.join("rabbitmq.conf"), text).unwrap();
        fs::write(path.join("plugins"), format!("[{plugins}].")).unwrap();
        let variables = format!(
            "export HOME={0} ERL_EPMD_PORT={names} ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_NODENAME=gusset{port}@localhost RABBITMQ_DIST_PORT={distribution}
export RABBITMQ_CONFIG_FILE={0}/rabbitmq RABBITMQ_CONF_ENV_FILE={0}/none
export RABBITMQ_ENABLED_PLUGINS_FILE={0}/plugins RABBITMQ_GENERATED_CONFIG_DIR={0}/generated
export RABBITMQ_MNESIA_BASE={0}/mnesia RABBITMQ_LOG_BASE={0}/log RABBITMQ_PID_FILE={0}/pid
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none'
export RABBITMQ_ALLOW_INPUT=1
",
            path.display()
        );
        fs::write(path.join("env.sh"), variables).unwrap();
        let names = Command::new("sh")
            .args(["-c", ". \"$0\"; epmd & read line; kill $!"])
            .arg(path.join("env.sh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut rabbit = Self {
            node: None,
            shell: None,
            _names: names,
            folder,
            port,
            asked: AtomicUsize::new(0),
        };
        rabbit.restart();
        rabbit
    }

    /// Starts it (again) on its port, and waits until it takes connections.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log = fs::File::create(self.file("out")).unwrap();
        // The script becomes the node itself, so that a signal goes to that. It reads Erlang from
        // its input, and ends with it.
        let mut node = Command::new("sh")
            .args(["-c", ". \"$0\"; exec \"$1\""])
            .arg(self.file("env.sh"))
            .arg(program())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.shell = node.stdin.take();
        let began = Instant::now();
        while !self.greets() {
            let said = || fs::read_to_string(self.file("out")).unwrap_or_default();
            assert!(node.try_wait().unwrap().is_none(), "the broker ended: {}", said());
            assert!(began.elapsed() < STARTING, "the broker does not start: {}", said());
            pause();
        }
        self.node = Some(node);
    }

    /// Whether it answers the first bytes of a connection.
    fn greets(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok_and(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let mut first = [0; 1];
            stream.write_all(b"AMQP\0\0\x09\x01").is_ok()
                && stream.read_exact(&mut first).is_ok()
                && first == [1]
        })
    }

    /// Has the broker's own shell work off a line of Erlang, and waits until it has.
    pub(crate) fn eval(&self, line: &str) {
        let done = self.file(&format!("done-{}", self.asked.fetch_add(1, Ordering::Relaxed)));
        let text = format!("{line}, file:write_file({:?}, \"\").\n", done.display().to_string());
        self.shell.as_ref().unwrap().write_all(text.as_bytes()).unwrap();
        let began = Instant::now();
        while !done.exists() {
            let said = fs::read_to_string(self.file("out")).unwrap_or_default();
            assert!(began.elapsed() < STARTING, "{line} is not done: {said}");
            pause();
        }
    }

    /// Says that memory is short, as the broker does when it is; or that it is not any more.
    pub(crate) fn short_of_memory(&self, short: bool) {
        self.eval(match short {
            true => "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})",
            false => "rabbit_alarm:clear_alarm({resource_limit, memory, node()})",
        });
    }

    /// Ends it in good order.
    pub(crate) fn stop(&mut self) {
        if let Some(mut node) = self.node.take() {
            self.signal_to(node.id(), "TERM");
            node.wait().unwrap();
        }
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut node) = self.node.take() {
            node.kill().unwrap();
            node.wait().unwrap();
        }
    }

    /// Has it stand still with SIGSTOP, or go on with SIGCONT.
    #[allow(dead_code, reason = "the tests of the kind use it, those of the whole gateway do not")]
    pub(crate) fn freeze(&self, still: bool) {
        let node = self.node.as_ref().unwrap();
        self.signal_to(node.id(), if still { "STOP" } else { "CONT" });
    }

    fn signal_to(&self, process: u32, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// The port of its connections without TLS.
    #[allow(dead_code, reason = "the tests of the kind use it, those of the whole gateway do not")]
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("amqp://127.0.0.1:{}", self.port)
    }

    /// The URL of the user, for clients that take it so.
    pub(crate) fn url_of_user(&self) -> String {
        format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{}/%2f", self.port)
    }

    /// A file of its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it has logged.
    #[allow(dead_code, reason = "the tests of the kind use it, those of the whole gateway do not")]
    pub(crate) fn log(&self) -> String {
        let files = fs::read_dir(self.file("log")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap_or_default()).collect()
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ports that nobody listens on, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// The script of the package itself: the one in the path changes to a user of its own.
fn program() -> &'static Path {
    let program = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    assert!(program.is_file(), "rabbitmq-server is missing; `cargo xtask test` installs it");
    program
}

#[allow(clippy::disallowed_methods, reason = "the broker is waited for outside of any runtime")]
fn pause() {
    thread::sleep(Duration::from_millis(20));
}
