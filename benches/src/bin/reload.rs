//! What a reload of 10,000 routes costs those who are being served:
//! `reload GUSSET [REQUESTS] [ROUTES]` starts that binary with a state folder, sends REQUESTS
//! (100,000) over connections that stay and connections that come anew, puts another configuration
//! of ROUTES (10,000) again and again meanwhile, and prints failures, times and memory.
//!
//! Half of the routes change in every version, and every version has routes and an upstream that
//! the one before had not. A request fails if it gets no answer or another than its service gave.

#![allow(clippy::print_stdout, reason = "what it is for")]

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Connections that send at once.
const CLIENTS: u64 = 8;
/// Requests on a connection that does not stay.
const A_FEW: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn main() -> ExitCode {
    match measure() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("reload: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many requests failed.
fn measure() -> Done<u64> {
    let mut words = std::env::args().skip(1);
    let gusset = words.next().ok_or("reload GUSSET [REQUESTS] [ROUTES]")?;
    let requests: u64 = words.next().map_or(Ok(100_000), |word| word.parse())?;
    let routes: u64 = words.next().map_or(Ok(10_000), |word| word.parse())?;
    let service = serve()?;
    let folder = std::env::temp_dir().join(format!("gusset-reload-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("first.yaml"), version(0, routes, service))?;
    let gateway = Gateway::start(Path::new(&gusset), &folder)?;
    let fresh = gateway.memory("VmRSS")?;

    let sent = Arc::new(AtomicU64::new(0));
    let failed = Arc::new(AtomicU64::new(0));
    let ends = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..CLIENTS)
        .map(|worker| {
            let (sent, failed, ends) = (Arc::clone(&sent), Arc::clone(&failed), Arc::clone(&ends));
            let address = gateway.listener;
            thread::spawn(move || ask(worker, address, routes, &sent, &failed, &ends))
        })
        .collect();
    let mut times = Vec::new();
    let began = Instant::now();
    while sent.load(Relaxed) < requests || times.len() < 2 {
        let text = version(1 + times.len() as u64, routes, service);
        let put = Instant::now();
        gateway.put(&text)?;
        times.push(put.elapsed());
    }
    let took = began.elapsed();
    ends.store(true, Relaxed);
    for worker in workers {
        drop(worker.join());
    }
    let (sent, failed) = (sent.load(Relaxed), failed.load(Relaxed));
    let last = gateway.memory("VmRSS")?;
    // Housekeeping frees what no request uses any more.
    pause(Duration::from_secs(12));
    times.sort();
    println!("requests          {sent} in {:.1} s, {failed} failed", took.as_secs_f64());
    println!("reloads           {} of {routes} routes", times.len());
    println!(
        "a reload took     {:.0} ms in the middle, {:.0} ms at most, from PUT to answer",
        times[times.len() / 2].as_secs_f64() * 1e3,
        times[times.len() - 1].as_secs_f64() * 1e3
    );
    println!(
        "resident memory   {} MB before, {} MB at its peak, {last} MB after the last, {} MB at rest",
        fresh,
        gateway.memory("VmHWM")?,
        gateway.memory("VmRSS")?
    );
    drop(gateway);
    drop(fs::remove_dir_all(&folder));
    Ok(failed)
}

/// A configuration of so many routes. The first half is the same in every version.
fn version(turn: u64, routes: u64, service: SocketAddr) -> String {
    let mut text = format!(
        "version: 1\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\nupstreams:\n  \
         web: {{ kind: http, url: http://{service}, breaker: {{}}, concurrency: 1000 }}\n  \
         new-{turn}: {{ kind: http, url: http://{service} }}\nroutes:\n"
    );
    for n in 0..routes {
        let timeout = if n < routes / 2 { 10 } else { 10 + turn % 7 };
        let (name, to) = if n % 100 == 99 {
            (format!("r{n}-v{turn}"), format!("new-{turn}"))
        } else {
            (format!("r{n}"), "web".to_owned())
        };
        writeln!(
            text,
            "  - {{ name: {name}, match: {{ path: \"/r{n}/{{id}}\", methods: [GET] }}, to: {to}, policy: {{ timeout: {timeout}s, try_timeout: 2s }} }}"
        )
        .expect("a String takes all that is written");
    }
    text
}

/// Sends until told to end.
fn ask(
    worker: u64,
    address: SocketAddr,
    routes: u64,
    sent: &AtomicU64,
    failed: &AtomicU64,
    ends: &AtomicBool,
) {
    let mut client = None;
    let mut state = worker + 1;
    let mut count = 0;
    while !ends.load(Relaxed) {
        // Half of the clients come anew after a few requests.
        if worker.is_multiple_of(2) && count % A_FEW == 0 {
            client = None;
        }
        // xorshift64: any of the routes.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let request = format!("GET /r{}/{count} HTTP/1.1\r\nHost: bench\r\n\r\n", state % routes);
        let answered = match client.take() {
            Some(client) => Ok(client),
            None => connect(address),
        }
        .and_then(|stream| round_trip(stream, request.as_bytes()));
        match answered {
            Ok((stream, 200, body)) if body == b"ok" => client = Some(stream),
            _ => {
                failed.fetch_add(1, Relaxed);
            }
        }
        sent.fetch_add(1, Relaxed);
        count += 1;
    }
}

fn connect(address: SocketAddr) -> Done<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// Sends a request and reads its answer, which has a length.
fn round_trip(
    mut stream: BufReader<TcpStream>,
    request: &[u8],
) -> Done<(BufReader<TcpStream>, u16, Vec<u8>)> {
    stream.get_mut().write_all(request)?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).ok_or("no status line")?.parse()?;
    let mut length = 0;
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err("the connection ended within a head".into());
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((stream, status, body))
}

/// A service that answers every request alike.
fn serve() -> Done<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|count| count > 0) {
                    if line == "\r\n" && stream.get_mut().write_all(ANSWER).is_err() {
                        return;
                    }
                    line.clear();
                }
            });
        }
    });
    Ok(address)
}

/// The gateway under test. Dropping it ends it.
struct Gateway {
    child: Child,
    listener: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    fn start(gusset: &Path, folder: &Path) -> Done<Self> {
        let mut child = Command::new(gusset)
            .args(["run", "--records", "off", "--state", "state", "-c", "first.yaml"])
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let mut address = |what: &str| -> Done<SocketAddr> {
            for line in said.by_ref() {
                if let Some((_, rest)) = line?.split_once(what) {
                    return Ok(rest.split(' ').next().unwrap_or_default().parse()?);
                }
            }
            Err("the gateway did not start".into())
        };
        let listener = address("listening on http://")?;
        let admin = address("admin on http://")?;
        // Nobody reads on, but a full pipe would hold it up.
        thread::spawn(move || said.for_each(drop));
        Ok(Self { child, listener, admin })
    }

    fn put(&self, text: &str) -> Done<()> {
        let mut request = format!(
            "PUT /api/v1/config HTTP/1.1\r\nHost: {}\r\nIf-Match: *\r\n\
             Content-Type: application/yaml\r\nContent-Length: {}\r\n\r\n",
            self.admin,
            text.len()
        )
        .into_bytes();
        request.extend_from_slice(text.as_bytes());
        let (_, status, body) = round_trip(connect(self.admin)?, &request)?;
        if status == 200 {
            return Ok(());
        }
        Err(format!("PUT was answered with {status}: {}", String::from_utf8_lossy(&body)).into())
    }

    /// A line of `/proc/PID/status`, in MB.
    fn memory(&self, name: &str) -> Done<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
        let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
        Ok(kib / 1024)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits; a thread of its own has nothing else to do.
#[allow(clippy::disallowed_methods, reason = "no runtime is held up")]
fn pause(time: Duration) {
    thread::sleep(time);
}
