//! A load on the cluster, run by this node for whoever watches it in a browser: what
//! `stegcluster bench` does, within bounds, one at a time.
//!
//! It asks over HTTP like any client, on threads of its own that yield to everything else, so it
//! delays this node's work no more than another client's load would.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::{Service, ServiceError};
use crate::api::bench::{BenchCounts, BenchRequest, BenchState, BenchStatus, BenchTick};
use crate::api::cluster::{ClusterStatus, NodeStatus};
use crate::client::{Client, Interrupt, Patience, Server, Servers, Stop, Token};
use crate::clock;
use crate::limits::{
    BENCH_CLIENTS_MAX, BENCH_DURATION_MAX, BENCH_RATE_MAX, BENCH_REQUESTS_MAX, BENCH_TICKS_MAX,
};
use crate::load::generator::{self, fresh_prefix};
use crate::load::histogram::Latencies;
use crate::load::{BenchReport, Done, LoadError, LoadPlan, Meter, Mix, Monitor, Outcome};
use crate::pool::lower_priority;
use crate::trust::Roots;

/// Often enough for a chart that moves.
const TICK: Duration = Duration::from_millis(250);
/// How long requests under way may take once a load was cancelled. Beyond it they are broken off.
const CANCEL_MAX: Duration = Duration::from_secs(1);

/// Why there is no load, or not the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    #[error("a bench runs on this node already; DELETE /admin/bench ends it")]
    Running,
    #[error("no bench has run on this node since it was started")]
    None,
    #[error("{0}")]
    Refused(String),
    #[error("the bench could not be started: {0}")]
    Threads(String),
}

/// The load of this node, if it has had one.
#[derive(Debug, Default)]
pub(super) struct Benches {
    last: Mutex<Option<Bench>>,
}

/// One load, running or not. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bench {
    interrupt: Interrupt,
    shown: Arc<Mutex<Shown>>,
    /// Counts what was added to `shown`.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Shown {
    status: BenchStatus,
    ticks: Vec<BenchTick>,
}

/// What a watcher of a load hears next.
#[derive(Debug, Clone, PartialEq)]
pub enum BenchNews {
    Tick(BenchTick),
    End(Box<BenchStatus>),
}

impl Bench {
    fn new(plan: BenchRequest) -> Self {
        let status = BenchStatus {
            id: fresh_prefix("bench"),
            state: BenchState::Running,
            error: None,
            started_ms: clock::unix_ms(),
            plan,
            report: None,
        };
        let shown = Arc::new(Mutex::new(Shown { status, ticks: Vec::new() }));
        Self { interrupt: Interrupt::default(), shown, changed: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn status(&self) -> BenchStatus {
        self.lock().status.clone()
    }

    fn is_running(&self) -> bool {
        self.lock().status.state == BenchState::Running
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.lock());
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// The tick number `seen`, or the end, once there is one.
    ///
    /// # Cancel safety
    /// Safe: it only waits.
    pub async fn after(&self, seen: usize) -> BenchNews {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let shown = self.lock();
                if let Some(tick) = shown.ticks.get(seen) {
                    return BenchNews::Tick(tick.clone());
                }
                if shown.status.state != BenchState::Running {
                    return BenchNews::End(Box::new(shown.status.clone()));
                }
            }
            if changed.changed().await.is_err() {
                // `self` holds the sender.
                std::future::pending().await
            }
        }
    }

    /// Ends it, and waits until it has.
    async fn cancel(&self) -> BenchStatus {
        self.interrupt.clean.trip();
        let mut changed = self.changed.subscribe();
        loop {
            if !self.is_running() {
                return self.status();
            }
            if changed.changed().await.is_err() {
                return self.status();
            }
        }
    }
}

impl Service {
    /// Begins a load on all nodes that are known now. `token` goes along with each request.
    ///
    /// # Errors
    /// [`BenchError`]
    pub fn start_bench(
        &self,
        request: BenchRequest,
        token: Option<Token>,
    ) -> Result<String, ServiceError> {
        let plan = plan(&request).map_err(BenchError::Refused)?;
        let (servers, names) = servers(&self.status()).map_err(BenchError::Refused)?;
        let mut last = self.inner.benches.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(Bench::is_running) {
            return Err(BenchError::Running.into());
        }
        // A small file, and new for each load: it may have changed.
        let servers = match &self.parts().ca {
            Some(ca) => {
                let roots = Roots::read(ca).map_err(|error| BenchError::Refused(error.to_string()));
                servers.trusting(roots?)
            }
            None => servers,
        };
        let bench = Bench::new(request);
        let (ended, end) = oneshot::channel();
        let run = Run { bench: bench.clone(), service: self.clone(), names };
        let servers = servers.with_token(token);
        let main = move || {
            // Threads that it starts are as nice as it is.
            lower_priority();
            run.to_the_end(&plan, servers);
            drop(run);
            // Nobody listens where the node is gone already.
            let _ = ended.send(());
        };
        let thread = std::thread::Builder::new().name("bench".into());
        thread.spawn(main).map_err(|error| BenchError::Threads(error.to_string()))?;
        let (stopping, interrupt) = (self.stopping().clone(), bench.interrupt.clone());
        self.parts().rt.spawn("bench", async move {
            tokio::pin!(end);
            tokio::select! {
                _ = &mut end => return,
                () = stopping.cancelled() => {}
            }
            interrupt.clean.trip();
            interrupt.at_once.trip();
            let _ = end.await;
        });
        let id = bench.status().id;
        *last = Some(bench);
        Ok(id)
    }

    /// The load that runs, or the last that did.
    ///
    /// # Errors
    /// [`BenchError::None`]
    pub fn bench(&self) -> Result<Bench, ServiceError> {
        let last = self.inner.benches.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone().ok_or_else(|| BenchError::None.into())
    }

    /// Ends the load that runs, and says how it went. One that has ended stays as it is.
    ///
    /// # Errors
    /// [`BenchError::None`]
    pub async fn cancel_bench(&self) -> Result<BenchStatus, ServiceError> {
        Ok(self.bench()?.cancel().await)
    }
}

/// Within the bounds, or why not.
fn plan(request: &BenchRequest) -> Result<LoadPlan, String> {
    let BenchRequest { mode, clients, requests, duration_s, rate_rps } = request;
    let mix: Mix = mode.parse().map_err(|cause| format!("mode: {cause}"))?;
    if !(1..=BENCH_CLIENTS_MAX).contains(clients) {
        return Err(format!("clients is 1 to {BENCH_CLIENTS_MAX}"));
    }
    if requests.is_some_and(|requests| !(1..=BENCH_REQUESTS_MAX).contains(&requests)) {
        return Err(format!("requests is 1 to {BENCH_REQUESTS_MAX} of each client"));
    }
    let most_s = BENCH_DURATION_MAX.as_secs_f64();
    if duration_s.is_some_and(|duration_s| !(0.001..=most_s).contains(&duration_s)) {
        return Err(format!("duration_s is more than 0, and {most_s} at the most"));
    }
    if rate_rps.is_some_and(|rate_rps| !(0.001..=BENCH_RATE_MAX).contains(&rate_rps)) {
        return Err(format!("rate_rps is more than 0, and {BENCH_RATE_MAX} at the most"));
    }
    match (requests, duration_s, rate_rps) {
        (None, None, _) => return Err("requests or duration_s must be given".into()),
        (Some(_), _, Some(_)) => return Err("requests cannot be given with rate_rps".into()),
        _ => {}
    }
    Ok(LoadPlan {
        mix,
        clients: *clients,
        requests: *requests,
        // Nothing runs for ever, however slow the cluster.
        duration: Some(duration_s.map_or(BENCH_DURATION_MAX, Duration::from_secs_f64)),
        warm_up: Some(Duration::ZERO),
        rate_rps: *rate_rps,
        id_prefix: fresh_prefix("bench"),
        ..LoadPlan::default()
    })
}

/// Every node's client port, and the nodes' names in their order.
fn servers(status: &ClusterStatus) -> Result<(Servers, Vec<String>), String> {
    let known = status.nodes.iter().filter(|node| node.http_port != 0);
    let address = |node: &NodeStatus| {
        let ip = &node.ip;
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
        format!("{host}:{}", node.http_port).parse::<Server>()
    };
    let mut servers = Vec::new();
    let mut names = Vec::new();
    for node in known {
        servers.push(address(node).map_err(|error| error.to_string())?);
        names.push(node.id.to_string());
    }
    Ok((Servers::new(servers).map_err(|error| error.to_string())?, names))
}

/// A load with its surroundings, on its own thread.
struct Run {
    bench: Bench,
    service: Service,
    /// The nodes' names, by the numbers of their servers.
    names: Vec<String>,
}

impl Run {
    fn to_the_end(&self, plan: &LoadPlan, servers: Servers) {
        let measured = self.measure(plan, servers);
        let cancelled = self.bench.interrupt.clean.is_tripped();
        self.bench.change(|Shown { status, .. }| match measured {
            Ok(report) => {
                status.state = if cancelled { BenchState::Cancelled } else { BenchState::Done };
                // A report is plain numbers and texts.
                status.report = serde_json::to_value(report).ok();
            }
            Err(_) if cancelled => status.state = BenchState::Cancelled,
            Err(error) => {
                status.state = BenchState::Failed;
                status.error = Some(error);
            }
        });
    }

    fn measure(&self, plan: &LoadPlan, servers: Servers) -> Result<BenchReport, String> {
        let interrupt = &self.bench.interrupt;
        let client = Client::new(servers, Patience::default(), interrupt.at_once.clone());
        client.break_off_on(&interrupt.at_once);
        let monitor = Monitor::default();
        monitor.look(&client, None);
        let (meter, done) = (Meter::start(), Stop::new());
        let counted = Mutex::new(Counted::new(self.names.len()));
        let count = |done: &Done| lock(&counted).record(done);
        std::thread::scope(|scope| -> Result<(), LoadError> {
            let _guard = done.trip_on_drop();
            scope.spawn(|| monitor.watch(&client, &meter, &done));
            scope.spawn(|| self.tick(&counted, &done));
            scope.spawn(|| hurry(interrupt, &done));
            generator::run(&client, plan, &interrupt.clean, &meter, &count)
        })
        .map_err(|error| error.to_string())?;
        monitor.look(&client, None);
        let cancelled = interrupt.clean.is_tripped();
        let (totals, learned) = (meter.finish(), monitor.learned());
        Ok(BenchReport::new(&client, plan, &totals, &learned, meter.started(), cancelled))
    }

    /// Shows how it is going until `done`, and once more then.
    fn tick(&self, counted: &Mutex<Counted>, done: &Stop) {
        let begun = clock::now();
        let mut last = begun;
        loop {
            let ended = done.wait(TICK);
            let now = clock::now();
            let leader = self.service.status().leader_id.as_ref().map(ToString::to_string);
            let t_s = (now - begun).as_secs_f64();
            let tick = lock(counted).tick(&self.names, t_s, now - last, leader);
            last = now;
            self.bench.change(|shown| {
                if shown.ticks.len() < BENCH_TICKS_MAX {
                    shown.ticks.push(tick);
                }
            });
            if ended {
                return;
            }
        }
    }
}

/// Breaks off what is under way, some time after the load was cancelled.
fn hurry(interrupt: &Interrupt, done: &Stop) {
    let waiting = Stop::new();
    let (woken, ended) = (waiting.clone(), waiting.clone());
    interrupt.clean.when_tripped(move || woken.trip());
    done.when_tripped(move || ended.trip());
    while !waiting.wait(BENCH_DURATION_MAX) {}
    if !done.wait(CANCEL_MAX) {
        interrupt.at_once.trip();
    }
}

fn lock(counted: &Mutex<Counted>) -> MutexGuard<'_, Counted> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a tick is made of.
#[derive(Debug)]
struct Counted {
    all: BenchCounts,
    by_server: Vec<BenchCounts>,
    /// Since the last tick.
    ok: u64,
    latencies: Latencies,
    /// At the last tick.
    rps: f64,
}

impl Counted {
    fn new(servers: usize) -> Self {
        Self {
            all: BenchCounts::default(),
            by_server: vec![BenchCounts::default(); servers],
            ok: 0,
            latencies: Latencies::new(2),
            rps: 0.0,
        }
    }

    fn record(&mut self, done: &Done) {
        let ok = matches!(done.outcome, Outcome::Ok { .. });
        let server = done.server.and_then(|server| self.by_server.get_mut(server));
        for counts in server.into_iter().chain([&mut self.all]) {
            *(if ok { &mut counts.ok } else { &mut counts.failed }) += 1;
        }
        if ok {
            self.ok += 1;
            self.latencies.record(done.ended.saturating_duration_since(done.started));
        }
    }

    /// Begins the next interval.
    fn tick(
        &mut self,
        names: &[String],
        t_s: f64,
        interval: Duration,
        leader: Option<String>,
    ) -> BenchTick {
        // The last interval is cut short by the end: a few requests in a millisecond are no rate.
        let part = interval.as_secs_f64() / TICK.as_secs_f64();
        let interval_s = interval.max(TICK).as_secs_f64();
        self.rps = self.ok as f64 / interval_s + self.rps * (1.0 - part).max(0.0);
        let quantile = |quantile| self.latencies.quantile_ms(quantile);
        let tick = BenchTick {
            t_s,
            ok: self.all.ok,
            failed: self.all.failed,
            rps: self.rps,
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            per_node: names.iter().cloned().zip(self.by_server.iter().copied()).collect(),
            leader,
        };
        self.ok = 0;
        self.latencies.clear();
        tick
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> BenchRequest {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_load_is_within_its_bounds_or_refused_with_the_reason() {
        let of = |text: &str| plan(&request(text));
        let closed = of(r#"{"mode":"embed","clients":4,"requests":10}"#).unwrap();
        assert_eq!((closed.clients, closed.requests), (4, Some(10)));
        assert_eq!(closed.duration, Some(BENCH_DURATION_MAX), "even if the cluster hangs");
        let mixed = r#"{"mode":"embed=70,extract=30","clients":64,"duration_s":2.5}"#;
        assert_eq!(of(mixed).unwrap().duration, Some(Duration::from_millis(2500)));
        let open = r#"{"mode":"commit","clients":8,"duration_s":1,"rate_rps":50}"#;
        assert_eq!(of(open).unwrap().rate_rps, Some(50.0));
        for (text, reason) in [
            (r#"{"mode":"x","clients":1,"requests":1}"#, "unknown mode"),
            (r#"{"mode":"embed","clients":0,"requests":1}"#, "clients is 1 to 64"),
            (r#"{"mode":"embed","clients":65,"requests":1}"#, "clients is 1 to 64"),
            (r#"{"mode":"embed","clients":1,"requests":0}"#, "requests is 1 to"),
            (r#"{"mode":"embed","clients":1,"duration_s":0}"#, "duration_s is more than 0"),
            (r#"{"mode":"embed","clients":1,"duration_s":1e9}"#, "600 at the most"),
            (r#"{"mode":"embed","clients":1,"duration_s":1,"rate_rps":-1}"#, "rate_rps is"),
            (r#"{"mode":"embed","clients":1}"#, "must be given"),
            (r#"{"mode":"embed","clients":1,"rate_rps":1}"#, "must be given"),
            (r#"{"mode":"embed","clients":1,"requests":1,"rate_rps":1}"#, "cannot be given"),
        ] {
            let refused = of(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn every_node_is_loaded_under_its_name() {
        let node = |name: &str, address| NodeStatus::unknown(name.parse().unwrap(), address, "x:1");
        let nodes = vec![node("n1", "10.0.0.1:8081"), node("n2", "[fd00::2]:8082"), node("n3", "")];
        let status = ClusterStatus { nodes, ..ClusterStatus::default() };
        let (servers, names) = servers(&status).unwrap();
        let urls: Vec<&str> = servers.iter().map(Server::url).collect();
        assert_eq!(urls, ["http://10.0.0.1:8081", "http://[fd00::2]:8082"]);
        assert_eq!(names, ["n1", "n2"]);
    }

    #[test]
    fn a_tick_has_totals_and_what_came_since_the_last() {
        let mut counted = Counted::new(2);
        let now = clock::now();
        let done = |server, ms, ok| Done {
            id: "x".parse().unwrap(),
            mode: crate::load::Mode::Commit,
            started: now,
            sent: now,
            ended: now + Duration::from_millis(ms),
            outcome: if ok { Outcome::Ok { digest: None } } else { Outcome::Failed("down".into()) },
            checked: crate::load::Checked::Not,
            server: Some(server),
            attempts: 1,
        };
        for _ in 0..10 {
            counted.record(&done(0, 20, true));
        }
        counted.record(&done(1, 5, false));
        let names = ["n1".to_owned(), "n2".to_owned()];
        let first = counted.tick(&names, 0.25, TICK, Some("n1".into()));
        assert_eq!((first.ok, first.failed, first.rps), (10, 1, 40.0));
        assert!((first.p50_ms.unwrap() - 20.0).abs() < 1.0, "{first:?}");
        assert_eq!(first.per_node["n1"], BenchCounts { ok: 10, failed: 0 });
        assert_eq!(first.per_node["n2"], BenchCounts { ok: 0, failed: 1 });
        let second = counted.tick(&names, 0.5, TICK, None);
        assert_eq!((second.ok, second.rps, second.p50_ms), (10, 0.0, None));
        for _ in 0..10 {
            counted.record(&done(0, 20, true));
        }
        assert_eq!(counted.tick(&names, 0.75, TICK, None).rps, 40.0);
        counted.record(&done(0, 20, true));
        let cut_short = counted.tick(&names, 0.8, TICK / 5, None);
        assert!((cut_short.rps - 36.0).abs() < 0.1, "{cut_short:?}");
    }
}
