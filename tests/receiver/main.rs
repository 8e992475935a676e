//! The library from its user's side: handlers, state, retries, an axum application of one's own.

#![expect(clippy::unwrap_used, reason = "in tests, a panic is the message")]

mod building;
mod mounted;
#[cfg(feature = "redis")]
#[allow(dead_code, unused_imports, reason = "the tests of the store use what is not used here")]
#[path = "../support/redis/mod.rs"]
mod servers;
mod serving;
#[path = "../support/switchboard.rs"]
mod switchboard;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::FromRef,
    http::{Request, StatusCode},
};
use doorbell::{
    Attempt, BuildError, Builder, Capacity, Delivery, Event, Handler, HandlerError, Job, Raw, Receiver,
    RetryPolicy, Role, Route, Source, State,
    clock::Timestamp,
    delivery::JobId,
    provider::{Hmac, Kladana, Poster, Preset, Quable, Secret, Secrets, Shareactor, poster},
    testing::{Sample, SignedRequest},
};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::ServiceExt;

const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";

struct World {
    router: Router,
    receiver: Receiver,
    _data: TempDir,
}

impl World {
    async fn start(routes: impl FnOnce(Builder<()>) -> Builder<()>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let builder = Receiver::builder().data_dir(data.path()).source("cafe", Poster::new(SECRET));
        let receiver = routes(builder).build().await.unwrap();
        Self { router: receiver.router(), receiver, _data: data }
    }

    /// Ends it; the handlers are gone then, and so are their ends of channels.
    async fn stop(self) {
        drop(self.router);
        self.receiver.shutdown().await;
    }

    /// Sends a vendor-true `stock.changed`; equal numbers are equal deliveries.
    async fn ring(&self, number: u128) -> StatusCode {
        self.router.clone().oneshot(request("/in/cafe", number)).await.unwrap().status()
    }
}

fn signed(number: u128) -> SignedRequest {
    let sample: Sample = "poster".parse().unwrap();
    let now = Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_168_200));
    sample.request(Some(&Secret::from(SECRET)), now, number).unwrap()
}

fn request(path: &str, number: u128) -> Request<Body> {
    let signed = signed(number);
    let mut request = Request::builder().method(signed.method).uri(path);
    *request.headers_mut().unwrap() = signed.headers;
    request.body(Body::from(signed.body)).unwrap()
}

fn at_once(max_attempts: u32) -> RetryPolicy {
    RetryPolicy { max_attempts, min: Duration::from_millis(1), max: Duration::from_millis(1) }
}

fn log<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    unbounded_channel()
}

#[derive(Clone)]
struct App {
    seen: UnboundedSender<(String, JobId, u32)>,
}

async fn stock_changed(
    Event(event): Event<poster::Event>,
    job: Job,
    attempt: Attempt,
    State(app): State<App>,
) -> Result<(), HandlerError> {
    app.seen.send((event.object.to_string(), job.id, attempt.number))?;
    Ok(())
}

#[tokio::test]
async fn a_handler_gets_its_event_its_state_and_a_job_that_is_the_same_on_each_replay() {
    let data = tempfile::tempdir().unwrap();
    let (seen, mut handled) = log();
    let receiver = Receiver::builder()
        .data_dir(data.path())
        .source("cafe", Poster::new(SECRET))
        .on("cafe", "stock.*", stock_changed)
        .with_state(App { seen })
        .build()
        .await
        .unwrap();
    let reply = receiver.router().oneshot(request("/in/cafe", 1)).await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    let (object, id, attempt) = handled.recv().await.unwrap();
    assert_eq!((object.as_str(), attempt), ("stock", 1));
    assert_ne!(id.to_string(), "");
    receiver.shutdown().await;
}

/// A part of the application's state.
#[derive(Clone)]
struct Seen(UnboundedSender<(Delivery, Job)>);

impl FromRef<Seen> for UnboundedSender<(Delivery, Job)> {
    fn from_ref(seen: &Seen) -> Self {
        seen.0.clone()
    }
}

async fn delivered(
    delivery: Delivery,
    job: Job,
    State(seen): State<UnboundedSender<(Delivery, Job)>>,
    whole: State<Seen>,
) -> Result<(), HandlerError> {
    assert!(seen.same_channel(&whole.0.0));
    Ok(seen.send((delivery, job))?)
}

#[tokio::test]
async fn a_handler_gets_the_delivery_and_a_part_of_the_state() {
    let data = tempfile::tempdir().unwrap();
    let (seen, mut handled) = log();
    let receiver = Receiver::builder()
        .data_dir(data.path())
        .source("cafe", Poster::new(SECRET))
        .on("cafe", "stock.*", delivered)
        .with_state(Seen(seen))
        .build()
        .await
        .unwrap();
    let reply = receiver.router().oneshot(request("/in/cafe", 1)).await.unwrap();
    let id = reply.headers()["doorbell-delivery"].to_str().unwrap();
    let (delivery, job) = handled.recv().await.unwrap();
    assert_eq!((delivery.id.to_string().as_str(), delivery.id), (id, job.delivery_id));
    assert_eq!((&*delivery.source, &*delivery.provider), ("cafe", "poster"));
    assert_eq!(delivery.received_at, job.received_at);
    assert_eq!(delivery.content_type.as_deref(), Some("application/json"));
    receiver.shutdown().await;
}

#[tokio::test]
async fn a_fallback_gets_what_no_route_wants_and_nothing_else() {
    let (seen, mut handled) = log();
    let world = World::start(|builder| {
        let (rest, both) = (seen.clone(), seen);
        builder
            .source("bar", Poster::new(SECRET))
            .fallback(move |job: Job| {
                let sent = rest.send((job.route.to_string(), job.source.to_string()));
                async move { Ok(sent?) }
            })
            .on("cafe", "stock.*", move |job: Job| {
                let sent = both.send((job.route.to_string(), job.source.to_string()));
                async move { Ok(sent?) }
            })
    })
    .await;
    world.ring(1).await;
    world.router.clone().oneshot(request("/in/bar", 2)).await.unwrap();
    let mut all = [handled.recv().await.unwrap(), handled.recv().await.unwrap()];
    all.sort();
    let own = |(route, source): (&str, &str)| (route.to_owned(), source.to_owned());
    assert_eq!(all, [("cafe:stock.*", "cafe"), ("fallback", "bar")].map(own));
    world.stop().await;
    assert_eq!(handled.recv().await, None);
}

/// Handles one job at a time, and notes how many ran beside it.
struct OneByOne {
    running: AtomicU32,
    seen: UnboundedSender<u32>,
}

impl Handler for OneByOne {
    async fn handle(&self, _: Job) -> Result<(), HandlerError> {
        let beside = self.running.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(self.seen.send(beside)?)
    }

    fn capacity(&self, running: usize) -> Capacity {
        Capacity::free(1_usize.saturating_sub(running))
    }
}

#[tokio::test]
async fn a_handler_that_is_no_function_has_a_say_in_how_many_jobs_it_gets() {
    let (seen, mut handled) = log();
    let world = World::start(|builder| {
        let one_by_one = OneByOne { running: AtomicU32::new(0), seen };
        builder.route(Route::new("cafe", "stock.*"), one_by_one).named("mail")
    })
    .await;
    for number in 0..5 {
        world.ring(number).await;
    }
    for _ in 0..5 {
        assert_eq!(handled.recv().await, Some(0));
    }
    world.stop().await;
}

#[tokio::test]
async fn an_equal_delivery_has_one_effect() {
    let (seen, mut handled) = log();
    let world = World::start(|builder| {
        builder.on("cafe", "*", move |Raw(data): Raw| {
            let sent = seen.send(data);
            async move { Ok(sent?) }
        })
    })
    .await;
    for number in [7, 7, 7, 8] {
        assert_eq!(world.ring(number).await, StatusCode::OK);
    }
    let (first, second) = (handled.recv().await.unwrap(), handled.recv().await.unwrap());
    assert_ne!(first, second);
    world.stop().await;
    assert_eq!(handled.recv().await, None);
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_harms_nobody_else() {
    let (seen, mut handled) = log();
    let world = World::start(|builder| {
        builder
            .on("cafe", "*", move |attempt: Attempt| {
                let seen = seen.clone();
                async move {
                    assert!(attempt.number > 2, "no");
                    Ok(seen.send(attempt.number)?)
                }
            })
            .retry(at_once(5))
    })
    .await;
    world.ring(1).await;
    assert_eq!(handled.recv().await, Some(3));
    world.ring(2).await;
    assert_eq!(handled.recv().await, Some(3));
    world.stop().await;
}

#[tokio::test]
async fn an_attempt_over_its_time_limit_is_cancelled_and_tried_again() {
    let (seen, mut handled) = log();
    let world = World::start(|builder| {
        builder
            .on("cafe", "*", move |attempt: Attempt| {
                let seen = seen.clone();
                async move {
                    if attempt.number == 1 {
                        std::future::pending::<()>().await;
                    }
                    Ok(seen.send(attempt.number)?)
                }
            })
            .retry(at_once(5))
            .timeout(Duration::from_millis(5))
    })
    .await;
    world.ring(1).await;
    assert_eq!(handled.recv().await, Some(2));
    world.stop().await;
}

#[tokio::test]
async fn what_is_discarded_or_dead_is_not_tried_again() {
    let attempts = Arc::new([const { AtomicU32::new(0) }; 2]);
    let (seen, mut ended) = log();
    let count = attempts.clone();
    let world = World::start(|builder| {
        let (first, second) = (count.clone(), count);
        let (seen, sent) = (seen.clone(), seen);
        builder
            .on("cafe", "stock.*", move || {
                first[0].fetch_add(1, Ordering::SeqCst);
                let sent = seen.send(());
                async move {
                    sent?;
                    Err(HandlerError::discard("not ours"))
                }
            })
            .retry(at_once(5))
            .on("cafe", "stock.changed", move || {
                second[1].fetch_add(1, Ordering::SeqCst);
                let sent = sent.send(());
                async move {
                    sent?;
                    Err(HandlerError::dead("broken"))
                }
            })
            .retry(at_once(5))
    })
    .await;
    world.ring(1).await;
    ended.recv().await.unwrap();
    ended.recv().await.unwrap();
    // A retry would have been due within a millisecond; the shutdown waits for whatever runs.
    world.ring(2).await;
    ended.recv().await.unwrap();
    ended.recv().await.unwrap();
    world.stop().await;
    assert_eq!((attempts[0].load(Ordering::SeqCst), attempts[1].load(Ordering::SeqCst)), (2, 2));
}

#[tokio::test]
async fn a_failing_route_never_runs_its_neighbour_again() {
    let (seen, mut handled) = log();
    let world = World::start(|builder| {
        let failing = seen.clone();
        builder
            .on("cafe", "stock.*", move |attempt: Attempt| {
                let sent = failing.send(("failing", attempt.number));
                async move {
                    sent?;
                    Err(HandlerError::retry("no"))
                }
            })
            .retry(at_once(3))
            .on("cafe", "*", move |attempt: Attempt| {
                let sent = seen.send(("fine", attempt.number));
                async move { Ok(sent?) }
            })
    })
    .await;
    world.ring(1).await;
    let mut all = Vec::new();
    while all.iter().filter(|(route, _)| *route == "failing").count() < 3 {
        all.push(handled.recv().await.unwrap());
    }
    world.stop().await;
    while let Some(last) = handled.recv().await {
        all.push(last);
    }
    all.sort_unstable();
    assert_eq!(all, [("failing", 1), ("failing", 2), ("failing", 3), ("fine", 1)]);
}

#[tokio::test]
async fn jobs_cut_off_by_a_shutdown_run_again_after_the_restart() {
    let data = tempfile::tempdir().unwrap();
    let (seen, mut handled) = log();
    let build = |hang: bool| {
        let seen = seen.clone();
        Receiver::builder()
            .data_dir(data.path())
            .shutdown_times(Duration::ZERO, Duration::from_millis(10))
            .source("cafe", Poster::new(SECRET))
            .on("cafe", "*", move |attempt: Attempt| {
                let sent = seen.send((attempt.number, attempt.crashes));
                async move {
                    sent?;
                    if hang {
                        std::future::pending::<()>().await;
                    }
                    Ok(())
                }
            })
            .build()
    };
    let receiver = build(true).await.unwrap();
    receiver.router().oneshot(request("/in/cafe", 1)).await.unwrap();
    assert_eq!(handled.recv().await, Some((1, 0)));
    receiver.shutdown().await;
    let receiver = build(false).await.unwrap();
    assert_eq!(handled.recv().await, Some((2, 0)));
    receiver.shutdown().await;
}

#[tokio::test]
async fn a_folder_serves_one_receiver_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let build = || Receiver::builder().data_dir(data.path()).source("cafe", Poster::new(SECRET)).build();
    let first = build().await.unwrap();
    let refused = build().await.unwrap_err().to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
    first.shutdown().await;
}
