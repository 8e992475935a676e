//! The generator: many kept-alive connections on one thread, so that it takes little from the server that it
//! shares the machine with, and takes the same from each.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{clock, http::Connection, poster, process};

/// What to send.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// The server's address.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// How many connections are kept open.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// The first stock id; each delivery takes the next one.
    #[arg(long, default_value_t = 1_000_000_000)]
    pub(crate) first_id: u64,
    /// For how long deliveries are sent.
    #[arg(long, required_unless_present = "count", conflicts_with = "count")]
    pub(crate) seconds: Option<u64>,
    /// How many deliveries are sent, instead of for how long.
    #[arg(long)]
    pub(crate) count: Option<u64>,
    /// Open loop: so many deliveries fall due each second, whatever became of those before, and latency counts
    /// from the moment a delivery was due. Without it, each connection sends when its last delivery is answered.
    #[arg(long, requires = "seconds")]
    pub(crate) rate: Option<u32>,
    /// After so many seconds, whatever is not answered has failed.
    #[arg(long, default_value_t = 60)]
    pub(crate) limit: u64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Deliveries answered with success.
    pub(crate) acked: u64,
    /// Those of them that were answered before the time was over.
    pub(crate) acked_in_time: u64,
    /// The time that they took, in seconds.
    pub(crate) seconds: f64,
    /// Everything that was not answered with status 200 and the right body, by what happened instead.
    pub(crate) failures: BTreeMap<String, u64>,
    /// From sending (closed loop) or falling due (open loop) to the whole reply.
    pub(crate) latency: Latency,
    /// Processor time that the generator took, in seconds.
    pub(crate) cpu_seconds: Option<f64>,
    /// The first stock id that was not used.
    pub(crate) next_id: u64,
}

impl Outcome {
    /// Successful replies a second.
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    pub(crate) fn per_second(&self) -> f64 {
        self.acked_in_time as f64 / self.seconds
    }

    /// How many deliveries failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// Latencies, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// The latencies in a histogram of microseconds.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of at most hours")]
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: histogram.max() as f64 / 1000.0 }
    }
}

/// Sends all that the plan says.
pub(crate) async fn run(plan: Plan) -> anyhow::Result<Outcome> {
    let count = match (plan.rate, plan.seconds, plan.count) {
        (Some(0), ..) => bail!("--rate 0 sends nothing; give at least 1"),
        (Some(rate), Some(seconds), _) => u64::from(rate) * seconds,
        (_, _, count) => count.unwrap_or(u64::MAX),
    };
    // All connections stand before the time begins.
    let mut connections = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        connections
            .push(Connection::open(plan.to).await.with_context(|| format!("cannot connect to {}", plan.to))?);
    }
    let begin = clock::instant();
    let run = Arc::new(Run {
        to: plan.to,
        first_id: plan.first_id,
        count,
        begin,
        // The last deliveries of an open loop fall due just before the end, and are all counted.
        end: plan.seconds.filter(|_| plan.rate.is_none()).map(|seconds| begin + Duration::from_secs(seconds)),
        rate: plan.rate,
        taken: AtomicU64::new(0),
        due: Semaphore::new(0),
        over: AtomicBool::new(false),
        book: Mutex::new(Book::new()?),
    });
    let pacer = plan.rate.map(|_| {
        let run = run.clone();
        thread::spawn(move || run.pace())
    });
    let mut tasks: JoinSet<()> =
        connections.into_iter().map(|connection| run.clone().drive(connection)).collect();
    let all_done = async { while tasks.join_next().await.is_some() {} };
    let in_time = tokio::time::timeout(Duration::from_secs(plan.limit), all_done).await.is_ok();
    run.over.store(true, Ordering::Relaxed);
    if let Some(pacer) = pacer
        && pacer.join().is_err()
    {
        bail!("the pacing thread panicked");
    }

    let mut book = run.book();
    if !in_time {
        let hanging = u64::try_from(tasks.len()).unwrap_or(u64::MAX);
        *book.failures.entry(format!("no reply when {} s were over", plan.limit)).or_default() += hanging;
    }
    let taken = run.taken.load(Ordering::Relaxed).min(count);
    if run.end.is_none() && taken < count {
        book.failures.insert("never sent: no connection was left".into(), count - taken);
    }
    let last = book.last.unwrap_or(begin);
    Ok(Outcome {
        acked: book.acked,
        acked_in_time: book.acked_in_time,
        seconds: run.end.unwrap_or(last).duration_since(begin).as_secs_f64(),
        failures: book.failures.clone(),
        latency: Latency::of(&book.latency),
        cpu_seconds: process::usage("self").map(|usage| usage.cpu_seconds),
        next_id: plan.first_id + taken,
    })
}

/// What all connections of one run share.
struct Run {
    to: SocketAddr,
    first_id: u64,
    count: u64,
    begin: Instant,
    end: Option<Instant>,
    rate: Option<u32>,
    /// How many deliveries have been given to a connection.
    taken: AtomicU64,
    /// Open loop: one permit for each delivery that is due and not yet given to a connection.
    due: Semaphore,
    over: AtomicBool,
    book: Mutex<Book>,
}

impl Run {
    /// Sends one delivery after the other until there are none, or the server cannot be reached.
    async fn drive(self: Arc<Self>, mut connection: Connection) {
        let mut sender = poster::Sender::new(&self.to.to_string());
        while let Some(turn) = self.turn().await {
            let request = sender.request(self.first_id + turn.number, clock::since_epoch().as_secs());
            let keeps = match connection.exchange(request).await {
                Ok(reply) if reply.status == 200 && reply.body == poster::ACCEPTED => {
                    let now = clock::instant();
                    let in_time = self.end.is_none_or(|end| now <= end);
                    self.book().acked(now, now.duration_since(turn.since), in_time);
                    !reply.closes
                }
                Ok(reply) => {
                    let body = String::from_utf8_lossy(&reply.body[..reply.body.len().min(200)]);
                    self.book().failed(format!("status {} with body {body:?}", reply.status));
                    !reply.closes
                }
                Err(error) => {
                    self.book().failed(error.to_string());
                    false
                }
            };
            if !keeps {
                // A server that cannot be reached again gets nothing more on this connection.
                let Ok(opened) = Connection::open(self.to).await else { return };
                connection = opened;
            }
        }
    }

    /// The next delivery, once it is due; `None` when there is none left.
    async fn turn(&self) -> Option<Turn> {
        if self.end.is_some_and(|end| clock::instant() >= end) {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        if number >= self.count {
            return None;
        }
        let Some(due) = self.due_at(number) else { return Some(Turn { number, since: clock::instant() }) };
        // Connections wait in the order in which they took their numbers, so the permit is this number's.
        self.due.acquire().await.ok()?.forget();
        Some(Turn { number, since: due })
    }

    /// Open loop: when delivery `number` is due.
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    fn due_at(&self, number: u64) -> Option<Instant> {
        let rate = self.rate?;
        Some(self.begin + Duration::from_secs_f64(number as f64 / f64::from(rate)))
    }

    /// Says when deliveries fall due. On a thread of its own: the runtime's timers are a millisecond coarse, which
    /// would count as latency.
    fn pace(&self) {
        for number in 0..self.count {
            let Some(due) = self.due_at(number) else { return };
            thread::sleep(due.saturating_duration_since(clock::instant()));
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            self.due.add_permits(1);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery to send now.
struct Turn {
    number: u64,
    /// What its latency counts from.
    since: Instant,
}

/// What has come of the deliveries so far.
struct Book {
    acked: u64,
    acked_in_time: u64,
    last: Option<Instant>,
    latency: Histogram<u64>,
    failures: BTreeMap<String, u64>,
}

impl Book {
    fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new(3)?;
        Ok(Self { acked: 0, acked_in_time: 0, last: None, latency, failures: BTreeMap::new() })
    }

    fn acked(&mut self, at: Instant, latency: Duration, in_time: bool) {
        self.acked += 1;
        self.acked_in_time += u64::from(in_time);
        self.last = Some(at);
        // The histogram grows with its values, so recording cannot fail.
        let _ = self.latency.record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    fn failed(&mut self, what: String) {
        *self.failures.entry(what).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::floor;

    fn plan(to: SocketAddr) -> Plan {
        Plan { to, connections: 8, first_id: 7, seconds: None, count: None, rate: None, limit: 60 }
    }

    async fn start_floor() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, floor::router()).await });
        to
    }

    #[tokio::test]
    async fn every_delivery_of_a_count_is_authentic_and_acknowledged() {
        let outcome = run(Plan { count: Some(500), ..plan(start_floor().await) }).await.unwrap();
        assert_eq!((outcome.acked, outcome.acked_in_time, outcome.next_id), (500, 500, 507));
        assert!(outcome.failures.is_empty(), "{outcome:?}");
    }

    #[tokio::test]
    async fn an_open_loop_sends_what_falls_due() {
        let plan = Plan { rate: Some(200), seconds: Some(1), ..plan(start_floor().await) };
        let outcome = run(plan).await.unwrap();
        assert_eq!(outcome.acked, 200);
        // The last one falls due after 199 of 200 parts of the second.
        assert!(outcome.seconds >= 0.995, "{outcome:?}");
    }

    /// A server that answers with these bytes each time, but the first time only after a pause.
    async fn start_server(reply: &'static [u8], pause: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut pause = Some(pause);
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut pause = pause.take();
                tokio::spawn(async move {
                    let mut request = vec![0; 4096];
                    // A request comes in one piece: it is written as one, and smaller than a segment.
                    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                        if let Some(pause) = pause.take() {
                            tokio::time::sleep(pause).await;
                        }
                        if stream.write_all(reply).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        to
    }

    #[tokio::test]
    async fn deliveries_that_could_not_be_sent_in_time_are_late_all_the_same() {
        let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"status\":\"accept\"}";
        let to = start_server(reply, Duration::from_millis(500)).await;
        let plan = Plan { connections: 1, rate: Some(100), seconds: Some(1), ..plan(to) };
        let outcome = run(plan).await.unwrap();
        assert_eq!(outcome.acked, 100);
        // Fifty fell due while the first one was held up for half a second. A generator that waits with sending
        // would see one slow reply among a hundred.
        assert!(outcome.latency.max >= 500.0, "{outcome:?}");
        assert!(outcome.latency.p99 >= 480.0, "{outcome:?}");
    }

    #[tokio::test]
    async fn anything_but_the_right_reply_is_a_failure() {
        for (reply, failure) in [
            (&b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nfull"[..], "status 503 with body \"full\""),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "status 200 with body \"{}\""),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", "more bytes than the reply's Content-Length"),
        ] {
            let to = start_server(reply, Duration::ZERO).await;
            let outcome = run(Plan { count: Some(20), ..plan(to) }).await.unwrap();
            assert_eq!((outcome.acked, outcome.failed()), (0, 20), "{outcome:?}");
            assert_eq!(outcome.failures.get(failure), Some(&20), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_dies_ends_the_run() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut streams = Vec::new();
            while streams.len() < 8 {
                streams.extend(listener.accept().await);
            }
        });
        let outcome = run(Plan { count: Some(20), ..plan(to) }).await.unwrap();
        assert_eq!((outcome.acked, outcome.failed()), (0, 20), "{outcome:?}");
        assert_eq!(outcome.failures.get("never sent: no connection was left"), Some(&12), "{outcome:?}");
    }
}
