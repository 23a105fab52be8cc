//! Runs a gateway, from its first bind to its last byte.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use admin::Live as _;
use ingress::{Plane, RecordFormat, Settings, Table, config::Offer};
use invokers::{Target, Tools};
use schemas::Name;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    cli::{Done, Stop, print},
    configuration::{Configuration, Start},
    descriptors,
    live::Running,
    outbox::{Delivering, Kept},
    sources,
};

/// What a second signal ends the process with, as a shell would say it of SIGINT.
const INTERRUPTED: u8 = 130;
/// Admin API, housekeeping and samples: none of it is on a request's way.
const CONTROL_THREADS: usize = 2;
/// Between two rounds of housekeeping.
const ROUND: Duration = Duration::from_secs(5);

/// What is served, and how.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) start: Start,
    pub(crate) tools: Tools,
    /// What the program has to offer to configurations that come later.
    pub(crate) offer: Offer,
    pub(crate) cores: usize,
    pub(crate) records: RecordFormat,
    /// How long what is under way may take to finish.
    pub(crate) drain: Duration,
    /// Where stored events are kept.
    pub(crate) kept: Kept,
}

/// Where a gateway is reached, once it is.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) listeners: Vec<(Name, SocketAddr)>,
    pub(crate) admin: SocketAddr,
}

/// Where everything runs that is not on a request's way.
pub(crate) fn control() -> Result<Runtime, Stop> {
    Ok(Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("gusset-control")
        .enable_all()
        .build()?)
}

/// Serves until a signal says to stop, then lets what is under way finish. `greet` is told where
/// the gateway is reached as soon as it accepts.
///
/// # Errors
/// If an address cannot be bound, or a second signal cuts the drain short.
pub(crate) fn serve(
    control: Runtime,
    service: Service,
    greet: impl FnOnce(&Reached) -> Done,
) -> Done {
    let (mut stop, mut hang_up) = {
        let _inside = control.enter();
        (Signals::new()?, signal(SignalKind::hangup())?)
    };
    let start = service.start;
    let at = start.table.admin.address;
    let listener = control.block_on(TcpListener::bind(at)).map_err(|error| {
        let said = format!("cannot listen on {at} (admin): {error}");
        refuse(&io::Error::new(error.kind(), said))
    })?;
    let admin = listener.local_addr()?;
    let settings = Settings {
        cores: service.cores,
        records: service.records,
        connections: descriptors::connections(),
    };
    let (table, folder) = (Arc::clone(&start.table), start.folder.clone());
    let plane = Plane::start(Arc::clone(&table), service.tools.clone(), settings)
        .map_err(|error| refuse(&error))?;
    let plane = Arc::new(plane);
    let delivering =
        Arc::new(Delivering::new(service.tools.clone(), Arc::clone(&plane), service.kept));
    control.block_on(delivering.open(&table, &folder)).map_err(Stop::failed)?;
    let tools = service.tools;
    let (served, outbox) = (Arc::clone(&plane), Arc::clone(&tools.outbox));
    let configuration = Arc::new(Configuration::new(served, outbox, start, service.offer));
    let triggers = Arc::new(sources::new(Arc::clone(&plane), tools.clone()));
    {
        let _inside = control.enter();
        triggers.follow();
        describe(&plane.table(), &tools);
    }
    let running = Arc::new(Running { plane, configuration, tools, delivering, triggers, folder });
    if let Some(Err(why)) = running.token() {
        print::error(&format!("gusset: the admin API refuses everybody: its token: {why}"));
    }
    let reached = Reached { listeners: running.addresses(), admin };
    control.spawn(admin::serve(listener, Arc::clone(&running) as Arc<dyn admin::Live>));
    for (name, address) in &reached.listeners {
        print::error(&format!("gusset: listening on http://{address} ({name})"));
    }
    print::error(&format!("gusset: admin on http://{admin}"));
    // A greeting that nobody reads does not stop a gateway.
    drop(greet(&reached));

    let following = Arc::clone(&running);
    control.spawn(async move { following.configuration.follow().await });
    let keeping = Arc::clone(&running);
    control.spawn(async move {
        loop {
            tokio::time::sleep(ROUND).await;
            let table = keeping.plane.table();
            if let Err(why) = keeping.delivering.open(&table, &keeping.folder).await {
                print::error(&format!("gusset: {why}"));
            }
            keeping.delivering.keep();
            keeping.triggers.follow();
            describe(&table, &keeping.tools);
            keeping.plane.sweep();
            table.registry.sweep(policy::nanos(tokio::time::Instant::now()));
        }
    });
    let told = Arc::clone(&running);
    control.spawn(async move {
        while hang_up.recv().await.is_some() {
            told.configuration.reload().await;
        }
    });
    control.block_on(stop.next());
    let done = control.block_on(drain(&running, service.drain, &mut stop));
    control.shutdown_background();
    done
}

/// Has the methods of gRPC services looked up, and kept fresh. Those of a new table are looked up
/// with the next round, or with the first call of one.
fn describe(table: &Table, tools: &Tools) {
    for upstream in &table.upstreams {
        if let Target::Grpc(target) = &upstream.target {
            target.keep(tools);
        }
    }
}

async fn drain(running: &Running, within: Duration, stop: &mut Signals) -> Done {
    let plane = Arc::clone(&running.plane);
    print::error("gusset: stopping; what is under way may finish, a second signal ends it at once");
    let drained = tokio::task::spawn_blocking(move || plane.drain(within));
    let all = async {
        running.triggers.stop(within).await;
        running.delivering.stop(within).await;
        let cut_off = drained.await;
        running.delivering.close().await;
        cut_off
    };
    tokio::select! {
        cut_off = all => match cut_off {
            Ok(0) => Ok(()),
            Ok(count) => {
                print::error(&format!("gusset: {count} requests were cut off at the drain's end"));
                Ok(())
            }
            Err(error) => Err(Stop::failed(format!("the drain failed: {error}"))),
        },
        () = stop.next() => Err(Stop::Said(INTERRUPTED)),
    }
}

/// A start that failed, with what to do about it.
fn refuse(error: &io::Error) -> Stop {
    let next = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process listens there: stop it, or choose another address (`listen` and \
             `admin` in the file, --listen and --admin of `gusset dev`)"
        }
        io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    };
    Stop::failed(format!("{error}{next}"))
}

/// The signals that ask for an end: SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
