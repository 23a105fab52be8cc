//! One core: a thread with its own runtime, listening sockets, lanes and counters. A request that
//! arrives here lives and dies here.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::BytesMut;
use http::HeaderValue;
use invokers::Tools;
use policy::{Guards, permits::Share};
use schemas::{Class, Fault, Job, Reply};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    connection,
    courier::{self, Parcel},
    gate::{Gate, ListenerId},
};
use crate::{
    Table, View,
    edge::Hop,
    recorder::{Recorder, log, series::TableSeries},
    steps::Peer,
};

/// A core that has this many connections more than its share, in quarters of the share, hands the
/// next one on.
const SHARE_QUARTERS: usize = 5;
/// Connections below which no core hands one on: with a few, the hand-over costs more than it saves.
const FEW: usize = 8;

/// What a core is told from outside.
#[derive(Debug)]
pub(crate) enum Order {
    /// Serve this connection, which another core accepted.
    Serve(std::net::TcpStream, SocketAddr, ListenerId),
    /// Send this.
    Send(Box<Job>),
    /// Deliver this, which was stored.
    Deliver(Box<Parcel>),
    /// Serve from another table.
    Follow(Box<Follow>),
}

/// Another table to serve from.
#[derive(Debug)]
pub(crate) struct Follow {
    /// It.
    pub(crate) table: Arc<Table>,
    /// Where its requests count.
    pub(crate) series: Arc<TableSeries>,
    /// All listeners from now on; any other drains.
    pub(crate) listeners: Vec<Listen>,
    /// Told once requests that arrive are served from it and the sockets of listeners that are gone
    /// are closed.
    pub(crate) done: oneshot::Sender<()>,
}

/// A listener that a core shall have.
#[derive(Debug)]
pub(crate) struct Listen {
    /// Which.
    pub(crate) listener: ListenerId,
    /// Its socket.
    pub(crate) socket: Socket,
}

/// Where a listener's socket comes from.
#[derive(Debug)]
pub(crate) enum Socket {
    /// It listens already.
    Kept,
    /// That of another listener, which ends by it: the address has a new name.
    Of(u64),
    /// A new one.
    New(std::net::TcpListener),
}

/// What the cores know of each other.
#[derive(Debug)]
pub(crate) struct Cores {
    /// How many connections each has open.
    pub(crate) open: Vec<AtomicUsize>,
    /// How to reach each.
    pub(crate) orders: Vec<mpsc::Sender<Order>>,
    /// How many connections there may be in all.
    pub(crate) connections: usize,
}

/// What a core's thread starts with.
pub(crate) struct Start {
    pub(crate) index: usize,
    pub(crate) table: Arc<Table>,
    pub(crate) series: Arc<TableSeries>,
    pub(crate) tools: Tools,
    pub(crate) listeners: Vec<Listen>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) cores: Arc<Cores>,
    pub(crate) draining: watch::Receiver<Option<Duration>>,
}

/// What all requests of a core share.
pub(crate) struct Core {
    index: usize,
    view: RefCell<Rc<View>>,
    listening: RefCell<Vec<Listening>>,
    /// Where its requests are recorded.
    pub(crate) recorder: Rc<Recorder>,
    cores: Arc<Cores>,
    /// Whether it drains: nothing is taken in any more.
    ends: Cell<bool>,
    /// Stored events that it delivers now.
    pub(super) delivering: Cell<usize>,
    ids: RefCell<Ids>,
}

/// A listener that accepts.
struct Listening {
    socket: Rc<TcpListener>,
    gate: Rc<Gate>,
    accepting: JoinHandle<()>,
}

/// An open connection, counted until it is dropped.
pub(crate) struct Open {
    core: Rc<Core>,
    /// The way that it came in.
    pub(crate) gate: Rc<Gate>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.core.cores.open[self.core.index].fetch_sub(1, Relaxed);
        self.core.recorder.metrics().open.sub(1);
    }
}

impl Core {
    /// What it serves from now. A request asks once, and stays with it.
    pub(crate) fn view(&self) -> Rc<View> {
        Rc::clone(&self.view.borrow())
    }

    /// A new request id.
    pub(crate) fn next_id(&self) -> HeaderValue {
        self.ids.borrow_mut().next()
    }

    fn serve(self: &Rc<Self>, socket: TcpStream, address: SocketAddr, gate: Rc<Gate>) {
        self.cores.open[self.index].fetch_add(1, Relaxed);
        self.recorder.metrics().open.add(1);
        let peer = Peer { listener: Arc::clone(&gate.listener.label), hop: Hop::new(address.ip()) };
        let open = Open { core: Rc::clone(self), gate };
        drop(tokio::task::spawn_local(connection::serve(Rc::clone(self), socket, peer, open)));
    }

    /// The way in through a listener. If it is gone by now, who came is served once and no more.
    fn gate(&self, listener: ListenerId) -> Rc<Gate> {
        let listening = self.listening.borrow();
        let known = listening.iter().find(|one| one.gate.listener.number == listener.number);
        known.map_or_else(|| Gate::new(listener, false), |one| Rc::clone(&one.gate))
    }

    /// Accepts on these listeners and on no others. Returns the tasks of those that end by it, and
    /// whether all others are there.
    fn listen(self: &Rc<Self>, listeners: Vec<Listen>) -> (Vec<JoinHandle<()>>, io::Result<()>) {
        let mut before = std::mem::take(&mut *self.listening.borrow_mut());
        let mut take = |number: u64| {
            let at = before.iter().position(|one| one.gate.listener.number == number)?;
            Some(before.swap_remove(at))
        };
        let mut ending = Vec::new();
        let mut all = Ok(());
        let mut now = Vec::with_capacity(listeners.len());
        for Listen { listener, socket } in listeners {
            let socket = match socket {
                Socket::Kept => {
                    now.extend(take(listener.number));
                    continue;
                }
                Socket::Of(number) => {
                    let Some(one) = take(number) else { continue };
                    one.gate.close();
                    ending.push(one.accepting);
                    one.socket
                }
                Socket::New(socket) => match TcpListener::from_std(socket) {
                    Ok(socket) => Rc::new(socket),
                    Err(error) => {
                        all = Err(error);
                        continue;
                    }
                },
            };
            let gate = Gate::new(listener, true);
            let accept = accept(Rc::clone(self), Rc::clone(&socket), Rc::clone(&gate));
            now.push(Listening { accepting: tokio::task::spawn_local(accept), socket, gate });
        }
        for one in before {
            one.gate.close();
            ending.push(one.accepting);
        }
        *self.listening.borrow_mut() = now;
        (ending, all)
    }

    fn follow(self: &Rc<Self>, follow: Follow) {
        if self.ends.get() {
            return;
        }
        let Follow { table, series, listeners, done } = follow;
        let before = self.view();
        let view = View::new(table, series, before.tools().clone(), Some(&before));
        drop(self.view.replace(Rc::new(view)));
        // A socket that this core cannot watch is one that the others have.
        let (ending, _) = self.listen(listeners);
        drop(tokio::task::spawn_local(async move {
            for task in ending {
                drop(task.await);
            }
            // Whoever asked may have given up waiting.
            done.send(()).ok();
        }));
    }

    /// Serves a new connection here, or hands it to the core with the fewest.
    fn place(self: &Rc<Self>, socket: TcpStream, address: SocketAddr, gate: Rc<Gate>) {
        self.recorder.metrics().accepted.add(1);
        let open = &self.cores.open;
        let all: usize = open.iter().map(|count| count.load(Relaxed)).sum::<usize>() + 1;
        if all > self.cores.connections {
            // Closed at once: who is turned away here may come by another gateway, and those that
            // are served keep what they need to be.
            self.recorder.metrics().shed.add(1);
            return;
        }
        if open.len() > 1 {
            let mine = open[self.index].load(Relaxed) + 1;
            if mine > FEW && mine * open.len() * 4 > all * SHARE_QUARTERS {
                let least = (0..open.len()).min_by_key(|at| open[*at].load(Relaxed));
                // If its queue is full it is no better off than we are.
                if let Some(least) = least.filter(|least| *least != self.index)
                    && let Ok(place) = self.cores.orders[least].try_reserve()
                {
                    if let Ok(socket) = socket.into_std() {
                        place.send(Order::Serve(socket, address, gate.listener.clone()));
                    }
                    return;
                }
            }
        }
        self.serve(socket, address, gate);
    }
}

/// Request ids: 32 hexadecimal digits, random for the core's life and counted within it. Many are
/// cut from one block of memory, so that an id costs no allocation of its own.
struct Ids {
    random: [u8; 16],
    count: u64,
    block: BytesMut,
}

impl Ids {
    const BLOCK: usize = 8 << 10;

    fn new(random: u64) -> Self {
        Self { random: hexadecimal(random), count: 0, block: BytesMut::new() }
    }

    fn next(&mut self) -> HeaderValue {
        if self.block.capacity() < 32 {
            self.block = BytesMut::with_capacity(Self::BLOCK);
        }
        self.block.extend_from_slice(&self.random);
        self.block.extend_from_slice(&hexadecimal(self.count));
        self.count = self.count.wrapping_add(1);
        HeaderValue::from_maybe_shared(self.block.split().freeze())
            .expect("hexadecimal digits are fit for a header")
    }
}

fn hexadecimal(word: u64) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| DIGITS[usize::from((word >> (60 - 4 * at)).to_le_bytes()[0] & 15)])
}

/// Runs a core until it has drained. Returns how many requests were cut off.
pub(crate) fn run(start: Start, recorder: Recorder) -> io::Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let random = uuid::Uuid::new_v4().as_u64_pair().0;
    let Start { index, table, series, tools, listeners, mut orders, cores, mut draining } = start;
    let core = Rc::new(Core {
        index,
        view: RefCell::new(Rc::new(View::new(table, series, tools, None))),
        listening: RefCell::default(),
        recorder: Rc::new(recorder),
        cores,
        ends: Cell::new(false),
        delivering: Cell::new(0),
        ids: RefCell::new(Ids::new(random)),
    });
    let cut_off = runtime.block_on(async {
        core.listen(listeners).1?;
        let obeying = Rc::clone(&core);
        drop(tokio::task::spawn_local(async move {
            while let Some(order) = orders.recv().await {
                obey(&obeying, order);
            }
        }));
        let ticking = Rc::clone(&core.recorder);
        drop(tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(log::BATCH_AGE).await;
                ticking.tick();
            }
        }));
        // An error means that the plane is gone, which is a drain too.
        drop(draining.wait_for(Option::is_some).await);
        core.ends.set(true);
        drop(core.listen(Vec::new()));
        let within = draining.borrow().unwrap_or_default();
        Ok::<_, io::Error>(finish(&core, within).await)
    })?;
    // Dropping the runtime drops every request that is still under way, and so records it.
    drop(runtime);
    core.recorder.flush();
    Ok(cut_off)
}

/// Waits until nothing is under way, for at most `within`; returns what still is.
async fn finish(core: &Core, within: Duration) -> usize {
    let until = Instant::now() + within;
    let metrics = core.recorder.metrics();
    loop {
        let left = metrics.in_flight.get();
        let done = left == 0 && metrics.open.get() == 0 && core.delivering.get() == 0;
        if done || Instant::now() >= until {
            return usize::try_from(left).unwrap_or(usize::MAX);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn accept(core: Rc<Core>, socket: Rc<TcpListener>, gate: Rc<Gate>) {
    let drained = gate.drained();
    let mut drained = std::pin::pin!(drained);
    loop {
        let next = tokio::select! {
            biased;
            next = socket.accept() => next,
            () = &mut drained => break,
        };
        match next {
            Ok((connection, address)) => core.place(connection, address, Rc::clone(&gate)),
            // Out of descriptors, most likely: wait for some to come back instead of spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    // Whoever the kernel has let in already is served, or it would be reset without a word; unless
    // the socket goes on under another name.
    while Rc::strong_count(&socket) == 1
        && let Ok(Ok((connection, address))) =
            tokio::time::timeout(Duration::ZERO, socket.accept()).await
    {
        core.serve(connection, address, Rc::clone(&gate));
    }
}

fn obey(core: &Rc<Core>, order: Order) {
    match order {
        Order::Serve(socket, address, listener) => {
            if let Ok(socket) = TcpStream::from_std(socket) {
                core.serve(socket, address, core.gate(listener));
            }
        }
        Order::Follow(follow) => core.follow(*follow),
        Order::Send(job) => {
            let core = Rc::clone(core);
            drop(tokio::task::spawn_local(send(core, *job)));
        }
        Order::Deliver(parcel) => {
            drop(tokio::task::spawn_local(courier::deliver(Rc::clone(core), *parcel)));
        }
    }
}

/// Sends a job's call by this core's lane, under the default policy and behind the same guards as
/// the calls of requests, with the jobs' share of the permits.
async fn send(core: Rc<Core>, job: Job) {
    let view = core.view();
    let upstream = view.table.upstreams.iter().find(|one| one.name == job.address.upstream);
    let result = match upstream {
        Some(upstream) => {
            let lane = view.lane(upstream);
            let policy = policy::Policy::default();
            let guards = upstream.guards_of(&job.address.to_string(), &view.table.registry);
            let guards = Guards { share: Share::Jobs, ..guards };
            let send = async |call| lane.call(call).await;
            let done = policy::attempt(&policy, &guards, job.call, send).await;
            let permit = done.permit;
            done.result.map(|reply| Reply { data: policy::hold(reply.data, permit), ..reply })
        }
        None => Err(Fault::new(
            Class::NotFound,
            format!("there is no upstream `{}`", job.address.upstream),
        )
        .code("no_upstream")),
    };
    // Whoever asked may have left; then the outcome is nobody's.
    drop(job.reply.send(result));
}
