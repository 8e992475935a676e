//! The testing kit from an integrator's side: what a test sends, runs and sees.
#![cfg(feature = "receiver")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself")]

#[path = "support/switchboard.rs"]
mod switchboard;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use doorbell::{
    Attempt, Builder, Event, HandlerError, Job, Json, Raw, Receiver, RetryPolicy, Route, Source, State,
    clock::{Clock, ManualClock, Timestamp},
    provider::{
        Hmac, Kladana, Parsed, Poster, Preset, Provider, Quable, Refusal, Request, Shareactor, Unparsable,
        hmac::Scheme, kladana, poster, quable, shareactor,
    },
    target::{HttpOptions, Target},
    testing::{self, JobReport, JobState, Message, Outcome, Sample, SignError, TestReceiver},
};
use http::StatusCode;
use serde_json::json;
use switchboard::Switchboard;

const HOUR: Duration = Duration::from_secs(3600);

fn cafe() -> Builder {
    Receiver::builder().source("cafe", Poster::new(["the secret", "an older one"]))
}

async fn start(builder: Builder) -> TestReceiver {
    TestReceiver::start(builder).await.unwrap()
}

async fn ok() -> Result<(), HandlerError> {
    Ok(())
}

fn states(job: &JobReport) -> Vec<JobState> {
    job.attempts.iter().map(|attempt| attempt.state).collect()
}

#[tokio::test]
async fn two_days_of_retries_take_no_time_and_keep_to_the_schedule() {
    let mut doorbell =
        start(cafe().on("cafe", "stock.*", || async { Err(HandlerError::retry("the shop is closed")) }))
            .await;
    doorbell.send("cafe", Sample::Poster).await;
    let job = doorbell.run().await[0].clone();
    assert_eq!((job.state, job.error.as_deref()), (JobState::Dead, Some("the shop is closed")));
    assert_eq!(
        (job.route.as_str(), job.kind.as_str(), job.source.as_str()),
        ("cafe:stock.*", "stock.changed", "cafe")
    );
    let policy = RetryPolicy::default();
    assert_eq!(job.attempts.len(), policy.max_attempts as usize);
    assert!(doorbell.now().since(TestReceiver::START) >= 52 * HOUR);
    assert_eq!(job.finished_at, Some(doorbell.now()));
    let mut wait = policy.min;
    for (number, pair) in (1..).zip(job.attempts.windows(2)) {
        assert_eq!((pair[0].number, pair[0].state), (number, JobState::Retrying));
        let waited = pair[1].started_at.since(pair[0].finished_at);
        assert!(
            wait.mul_f64(0.8) <= waited + Duration::from_millis(1) && waited <= wait,
            "{number}: {waited:?}"
        );
        wait = (2 * wait).min(policy.max);
    }
}

#[tokio::test]
async fn every_run_is_the_same_to_the_id_and_the_millisecond() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut doorbell = start(
            cafe()
                .on("cafe", "*", |attempt: Attempt| async move {
                    if attempt.number < 4 { Err(HandlerError::retry("no")) } else { Ok(()) }
                })
                .on("cafe", "stock.*", || async { Err(HandlerError::retry("never")) }),
        )
        .await;
        for _ in 0..3 {
            doorbell.send("cafe", Sample::Poster).await;
        }
        doorbell.run().await;
        runs.push((doorbell.deliveries().to_vec(), doorbell.jobs().to_vec()));
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn the_reply_says_what_became_of_the_request() {
    // What an application says of its folder does not count.
    let builder = cafe().data_dir("/nowhere/that/could/be/made").on("cafe", "stock.*", ok);
    let mut doorbell = start(builder).await;
    let reply = doorbell.send("cafe", Sample::Poster).await;
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, br#"{"status":"accept"}"#.as_slice()));
    assert_eq!((reply.outcome, reply.reason), (Outcome::Accepted, None));
    let original = reply.delivery;
    assert_eq!(original, Some(doorbell.deliveries()[0].id));

    let repeated = doorbell.repeat().await;
    assert_eq!((repeated.outcome, repeated.delivery), (Outcome::Duplicate, original));
    assert_eq!(repeated.body, reply.body);

    let unwanted = doorbell.send("cafe", testing::poster::notification("dish", "added")).await;
    assert_eq!(unwanted.outcome, Outcome::Accepted);
    let event = &doorbell.deliveries()[1].events[0];
    assert!(event.unrouted && event.kind == "dish.added");

    let test = doorbell.send("cafe", testing::poster::test().form()).await;
    assert_eq!((test.status, test.outcome), (StatusCode::OK, Outcome::Test));

    let now = doorbell.now();
    let forged = Sample::Poster.signed_by(&Poster::new("a guess"), now, 9).unwrap();
    let refused = doorbell.send("cafe", forged).await;
    assert_eq!(
        (refused.status, refused.outcome, refused.delivery),
        (StatusCode::UNAUTHORIZED, Outcome::Refused, None)
    );
    assert!(refused.body.is_empty() && refused.reason.unwrap().contains("matches none of the valid secrets"));

    assert_eq!(doorbell.deliveries().len(), 3);
    assert_eq!(doorbell.run().await.len(), 1);
}

#[tokio::test]
async fn an_unreadable_delivery_is_quarantined_and_a_wrong_path_is_nowhere() {
    let mut doorbell = start(
        Receiver::builder().source("erp", Source::new(Kladana::new()).path_secret("a secret/with more")),
    )
    .await;
    let reply = doorbell.send("erp", r#"{"events":[]}"#).await;
    assert_eq!((reply.status, reply.outcome), (StatusCode::OK, Outcome::Quarantined));
    assert!(reply.reason.as_ref().unwrap().contains("`events` is empty"), "{reply:?}");
    assert_eq!(doorbell.deliveries()[0].reason, reply.reason);

    let request = doorbell.request("erp", Sample::Kladana);
    for path in ["/in/erp", "/in/erp/guess", "/in/shop"] {
        let lost = doorbell.send_to(path, request.clone()).await;
        assert_eq!((lost.status, lost.outcome), (StatusCode::NOT_FOUND, Outcome::Refused), "{path}");
        assert!(lost.reason.is_some(), "{path}");
    }
    assert_eq!(doorbell.send("erp", request).await.outcome, Outcome::Accepted);
}

#[tokio::test]
async fn retry_after_dead_letters_discards_and_panics_are_told_apart() {
    let builder = cafe()
        .on("cafe", "*", |attempt: Attempt| async move {
            match attempt.number {
                1 => Err(HandlerError::retry_after(HOUR, "busy")),
                2 => panic!("out of {}", "paper"),
                _ => Ok(()),
            }
        })
        .named("later")
        .on("cafe", "*", || async { Err(HandlerError::dead("not one of ours")) })
        .named("dead")
        .on("cafe", "*", || async { Err(HandlerError::discard("of no use")) })
        .named("discarded");
    let mut doorbell = start(builder).await;
    doorbell.send("cafe", Sample::Poster).await;
    let [later, dead, discarded] = doorbell.run().await else { panic!("{doorbell:?}") };
    assert_eq!(states(later), [JobState::Retrying, JobState::Retrying, JobState::Done]);
    assert_eq!(later.attempts[1].started_at, TestReceiver::START.plus(HOUR));
    assert_eq!(later.attempts[0].error.as_deref(), Some("busy"));
    assert_eq!(later.attempts[1].error.as_deref(), Some("the handler panicked: out of paper"));
    assert_eq!((later.error.as_ref(), later.attempts[2].error.as_ref()), (None, None));
    assert_eq!((dead.state, dead.error.as_deref()), (JobState::Dead, Some("not one of ours")));
    assert_eq!((discarded.state, discarded.error.as_deref()), (JobState::Discarded, Some("of no use")));
    assert_eq!((states(dead), states(discarded)), (vec![JobState::Dead], vec![JobState::Discarded]));
}

#[tokio::test]
async fn time_passes_step_by_step_where_a_test_wants_to_look() {
    let builder = cafe().on("cafe", "*", |attempt: Attempt| async move {
        if attempt.number < 3 { Err(HandlerError::retry_after(HOUR, "busy")) } else { Ok(()) }
    });
    let mut doorbell = start(builder).await;
    assert!(doorbell.run_next().await.is_none());
    doorbell.send("cafe", Sample::Poster).await;
    assert_eq!((doorbell.jobs()[0].state, doorbell.jobs()[0].attempts.len()), (JobState::Queued, 0));

    assert_eq!(doorbell.run_due().await[0].state, JobState::Retrying);
    assert_eq!(doorbell.jobs()[0].due_at, Some(TestReceiver::START.plus(HOUR)));
    doorbell.run_due().await;
    let almost = HOUR.saturating_sub(Duration::from_millis(1));
    assert_eq!(doorbell.advance(almost).await[0].attempts.len(), 1);
    assert_eq!(doorbell.now(), TestReceiver::START.plus(almost));
    assert_eq!(doorbell.advance(HOUR / 2).await[0].attempts.len(), 2);
    assert_eq!(doorbell.now(), TestReceiver::START.plus(almost + HOUR / 2));
    assert_eq!(doorbell.jobs()[0].attempts[1].started_at, TestReceiver::START.plus(HOUR));

    assert_eq!(doorbell.run_next().await.unwrap().state, JobState::Done);
    assert_eq!(doorbell.now(), TestReceiver::START.plus(2 * HOUR));
    assert!(doorbell.run_next().await.is_none());
}

#[tokio::test]
async fn a_dead_letter_is_replayed_under_the_same_id_when_its_cause_is_mended() {
    let mended = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (works, log) = (mended.clone(), seen.clone());
    let builder = cafe()
        .on("cafe", "*", move |job: Job| {
            log.lock().unwrap().push((job.id, job.attempt.number, job.attempt.replay));
            let works = works.load(Ordering::SeqCst);
            async move { if works { Ok(()) } else { Err(HandlerError::retry("broken")) } }
        })
        .retry(RetryPolicy { max_attempts: 2, ..RetryPolicy::default() });
    let mut doorbell = start(builder).await;
    doorbell.send("cafe", Sample::Poster).await;
    let id = doorbell.run().await[0].id;
    assert_eq!(doorbell.job(id).state, JobState::Dead);

    mended.store(true, Ordering::SeqCst);
    doorbell.replay(id).await;
    assert_eq!((doorbell.job(id).state, doorbell.job(id).replays), (JobState::Queued, 1));
    doorbell.run().await;
    let job = doorbell.job(id);
    assert_eq!(states(job), [JobState::Retrying, JobState::Dead, JobState::Done]);
    assert_eq!((job.attempts[2].number, job.attempts[2].replay), (1, 1));
    assert_eq!(*seen.lock().unwrap(), [(id, 1, 0), (id, 2, 0), (id, 1, 1)]);

    // What is done can be done again.
    doorbell.replay(id).await;
    assert_eq!(doorbell.run().await[0].attempts.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn with_tokios_clock_paused_sleeps_and_time_limits_take_no_time_and_are_seen() {
    let builder = cafe()
        .on("cafe", "*", |attempt: Attempt| async move {
            let seconds = if attempt.number == 1 { 3600 } else { 20 };
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(())
        })
        .timeout(Duration::from_secs(90));
    let mut doorbell = start(builder).await;
    // A timer of the application's own must not hurry what waits for the disk.
    let ticking = tokio::spawn(async {
        let mut interval = tokio::time::interval(Duration::from_millis(250));
        loop {
            interval.tick().await;
        }
    });
    for _ in 0..3 {
        let reply = doorbell.send("cafe", Sample::Poster).await;
        assert_eq!(reply.outcome, Outcome::Accepted);
        doorbell.run().await;
    }
    ticking.abort();
    for job in doorbell.jobs() {
        assert_eq!(states(job), [JobState::Retrying, JobState::Done]);
        let took: Vec<_> = job
            .attempts
            .iter()
            .map(|attempt| attempt.finished_at.since(attempt.started_at).as_secs())
            .collect();
        assert_eq!(took, [90, 20]);
        let error = job.attempts[0].error.as_deref().unwrap();
        assert_eq!(error, "the handler took longer than its time limit of 90s");
    }
}

#[tokio::test]
async fn an_application_can_go_by_the_same_clock() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
    let noted = Arc::new(Mutex::new(Vec::new()));
    let builder = Receiver::builder()
        .source("cafe", Poster::new("the secret"))
        .on("cafe", "*", |State(app): State<(ManualClock, Arc<Mutex<Vec<Timestamp>>>)>| async move {
            // So long that a claim that nobody renews would have run out.
            app.0.advance(HOUR);
            app.1.lock().unwrap().push(app.0.now());
            Ok(())
        })
        .with_state((clock.clone(), noted.clone()));
    let mut doorbell = TestReceiver::start_at(builder, &clock).await.unwrap();
    doorbell.send("cafe", Sample::Poster).await;
    let job = &doorbell.run().await[0];
    assert_eq!(job.state, JobState::Done);
    assert_eq!(job.attempts[0].finished_at.since(job.attempts[0].started_at), HOUR);
    assert_eq!(*noted.lock().unwrap(), [Timestamp::from_seconds(1_800_003_600)]);
}

#[tokio::test]
async fn jobs_run_in_the_order_of_deliveries_events_and_routes() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |order: &Arc<Mutex<Vec<_>>>| {
        let order = order.clone();
        move |job: Job| {
            order.lock().unwrap().push((job.subject.unwrap(), job.route.to_string()));
            ok()
        }
    };
    let mut doorbell = start(
        Receiver::builder()
            .source("erp", Source::new(Kladana::new()).path_secret("secret"))
            .on("erp", "product.delete", note(&order))
            .named("last")
            .on("erp", "*", note(&order))
            .named("all"),
    )
    .await;
    let ids = ["75c8aa10-db16-11eb-0a80-0d0000000003", "75c8aa10-db16-11eb-0a80-0d0000000001"];
    for id in ids {
        let notification = testing::kladana::notification("product", "CREATE").entity_id(id);
        doorbell.send("erp", notification.and("product", "DELETE").entity_id(id)).await;
    }
    doorbell.run().await;
    let expected: Vec<_> = ids
        .into_iter()
        .flat_map(|id| ["all", "last", "all"].map(|route| (format!("product/{id}"), route.to_owned())))
        .collect();
    assert_eq!(*order.lock().unwrap(), expected);
    let listed: Vec<_> =
        doorbell.jobs().iter().map(|job| (job.subject.clone().unwrap(), job.route.clone())).collect();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn a_type_of_ones_own_is_read_by_serde_and_data_that_is_none_is_dead_at_once() {
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    let names = Arc::new(Mutex::new(Vec::new()));
    let noted = names.clone();
    let github = Hmac::preset(Preset::Github, "secret").unwrap();
    let builder = Receiver::builder().source("it", github).on("it", "*", move |Json(it): Json<Named>| {
        noted.lock().unwrap().push(it.name);
        ok()
    });
    let mut doorbell = start(builder).await;
    doorbell.send("it", json!({"name": "Ada", "more": 1})).await;
    doorbell.send("it", json!({"name": 7})).await;
    let jobs = doorbell.run().await;
    assert_eq!(jobs.iter().flat_map(states).collect::<Vec<_>>(), [JobState::Done, JobState::Dead]);
    let error = jobs[1].error.as_deref().unwrap();
    assert!(error.contains("can't be read as") && error.contains("Named: invalid type"), "{error}");
    assert_eq!(*names.lock().unwrap(), ["Ada"]);
}

#[tokio::test]
async fn targets_reach_nobody_and_their_jobs_are_done() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let builder = cafe()
        .target(Route::new("cafe", "stock.*"), Target::http(&url, HttpOptions::default()).unwrap())
        .named("http")
        .target(Route::new("cafe", "stock.*"), Target::exec(["touch", made.to_str().unwrap()]).unwrap())
        .named("exec");
    // It would be in the queue's own Redis, and a test has none.
    #[cfg(feature = "redis")]
    let builder = builder
        .target(Route::new("cafe", "stock.*"), Target::redis_stream("orders").unwrap())
        .named("stream");
    let mut doorbell = start(builder).await;
    doorbell.send("cafe", Sample::Poster).await;
    let jobs = doorbell.run().await;
    assert_eq!(jobs[..2].iter().map(|job| job.route.as_str()).collect::<Vec<_>>(), ["http", "exec"]);
    assert_eq!(jobs.len(), 2 + usize::from(cfg!(feature = "redis")));
    assert!(jobs.iter().all(|job| states(job) == [JobState::Done]), "{jobs:?}");
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(!made.exists());
}

#[tokio::test]
#[should_panic(expected = "there is no source \"caffe\"; there are: cafe")]
async fn a_source_that_is_not_there_is_named_with_those_that_are() {
    start(cafe()).await.send("caffe", Sample::Poster).await;
}

/// One that is not Doorbell's own and only checks.
#[derive(Debug)]
struct Homemade;

impl Provider for Homemade {
    fn name(&self) -> &'static str {
        "homemade"
    }

    fn authenticate(&self, _: &Request<'_>, _: Timestamp) -> Result<(), Refusal> {
        Ok(())
    }

    fn parse(&self, _: &Request<'_>) -> Result<Parsed, Unparsable> {
        Ok(Parsed::Test)
    }
}

#[tokio::test]
#[should_panic(expected = "the provider \"homemade\" can't sign requests")]
async fn a_provider_that_only_checks_says_what_to_implement() {
    start(Receiver::builder().source("own", Homemade)).await.send("own", json!({})).await;
}

#[tokio::test]
async fn every_sample_is_taken_by_its_source() {
    let whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let mut builder = Receiver::builder()
        .source("kladana", Source::new(Kladana::new()).path_secret("secret"))
        .source("quable", Quable::new("Bearer abc"))
        .source("poster", Poster::new("secret"))
        .source("shareactor", Shareactor::new("secret").require_signature(true));
    for &preset in Preset::ALL {
        builder = builder.source(preset.name(), Hmac::preset(preset, whsec).unwrap());
    }
    let mut doorbell = start(builder.on("*", "*", ok)).await;
    for &sample in Sample::ALL {
        let source = Preset::ALL.iter().map(|preset| preset.name()).find(|name| *name == sample.name());
        let source = source.unwrap_or_else(|| sample.name().split('-').next().unwrap());
        let reply = doorbell.send(source, sample).await;
        let is_test =
            matches!(sample, Sample::PosterTest | Sample::PosterTestForm | Sample::ShareactorVerify);
        let expected = if is_test { Outcome::Test } else { Outcome::Accepted };
        assert_eq!(reply.outcome, expected, "{sample}: {reply:?}");
    }
    assert!(doorbell.run().await.iter().all(|job| job.state == JobState::Done));
    assert!(doorbell.deliveries().iter().flat_map(|one| &one.events).all(|event| event.kind != "event"));
}

/// Sends a message of the test's own and returns what its handler gets.
async fn received<T: doorbell::provider::FromEvent + Send + 'static>(
    source: impl Into<Source>,
    message: impl Message,
) -> Vec<(Job, T)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let mut doorbell = start(Receiver::builder().source("it", source).on(
        "it",
        "*",
        move |job: Job, Event(event): Event<T>| {
            log.lock().unwrap().push((job, event));
            ok()
        },
    ))
    .await;
    let reply = doorbell.send("it", message).await;
    assert_eq!(reply.outcome, Outcome::Accepted, "{reply:?}");
    for job in doorbell.run().await {
        assert_eq!(job.state, JobState::Done, "{job:?}");
    }
    drop(doorbell);
    std::mem::take(&mut *seen.lock().unwrap())
}

#[tokio::test]
async fn posters_notifications_hold_what_they_are_given() {
    let level = json!({"type": 2, "element_id": 512, "storage_id": 1, "value_relative": -0.5, "value_absolute": 23.5});
    let message = testing::poster::notification("stock", "changed")
        .account("le-bistro")
        .account_number("7")
        .object_id(512)
        .time(Timestamp::from_seconds(1_767_000_000))
        .data(level);
    for message in [message.clone(), message.form()] {
        let got = received::<poster::Event>(Poster::new("secret"), message).await;
        let [(job, event)] = &got[..] else { panic!("{got:?}") };
        assert_eq!((job.kind.as_str(), job.subject.as_deref()), ("stock.changed", Some("stock/512")));
        assert_eq!(job.occurred_at, Some(Timestamp::from_seconds(1_767_000_000)));
        assert_eq!((event.account.as_str(), event.account_number.as_deref()), ("le-bistro", Some("7")));
        let poster::Data::Stock(stock) = &event.data else { panic!("{event:?}") };
        assert_eq!(
            (stock.element_id.as_str(), stock.value_absolute.to_f64().to_string()),
            ("512", "23.5".into())
        );
    }
}

#[tokio::test]
async fn kladanas_notifications_hold_what_they_are_given() {
    let erp = || Source::new(Kladana::new()).path_secret("secret");
    let id = "75c8aa10-db16-11eb-0a80-0d0000000003";
    let message = testing::kladana::notification("product", "UPDATE")
        .entity_id(id)
        .updated_fields(["salePrices", "name"])
        .and("customerorder", "DELETE")
        .moment(Timestamp::from_seconds(1_767_000_000))
        .api("https://api.moysklad.ru/api/remap/1.2")
        .account_id("45eb22e0-0e7b-11e2-1c31-3c4a92f3a0a7")
        .request_id("640569eb");
    let got = received::<kladana::EntityEvent>(erp(), message.clone()).await;
    let kinds: Vec<_> = got.iter().map(|(job, _)| job.kind.as_str()).collect();
    assert_eq!(kinds, ["product.update", "customerorder.delete"]);
    let (job, first) = &got[0];
    assert_eq!(job.subject, Some(format!("product/{id}")));
    assert_eq!(job.occurred_at, Some(Timestamp::from_seconds(1_767_000_000)));
    let text = String::from_utf8(job.data.to_vec()).unwrap();
    assert!(
        text.contains(r#""updatedFields":["salePrices","name"]"#) && text.contains("api.moysklad.ru"),
        "{text}"
    );
    assert!(format!("{first:?}").contains("45eb22e0-0e7b-11e2-1c31-3c4a92f3a0a7"), "{first:?}");
    let older = received::<kladana::EntityEvent>(erp(), message.without_audit()).await;
    assert_eq!(older[0].0.occurred_at, None);

    let stock = testing::kladana::stock("bystore").changed_since(Timestamp::from_seconds(1_767_000_000));
    let got = received::<kladana::StockEvent>(erp(), stock.request_id("1")).await;
    assert_eq!(got[0].0.kind, "stock.bystore");
    let text = String::from_utf8(got[0].0.data.to_vec()).unwrap();
    assert!(text.contains("report/stock/bystore/current?changedSince=2025-12-29 12:20:00"), "{text}");
}

#[tokio::test]
async fn a_senders_id_of_ones_own_is_what_it_is_recognised_by() {
    let mut doorbell = start(
        Receiver::builder()
            .source("erp", Source::new(Kladana::new()).path_secret("secret"))
            .source("pim", Quable::new("Bearer abc"))
            .source("shop", Shareactor::new("secret"))
            .source("repo", Hmac::preset(Preset::Github, "secret").unwrap()),
    )
    .await;
    let entity = "75c8aa10-db16-11eb-0a80-0d0000000003";
    let update = testing::kladana::notification("product", "UPDATE").without_audit().entity_id(entity);
    let renamed = testing::quable::notification("document.update").resource("document", "sku");
    let placed = testing::shareactor::notification("order.created").object(json!({}));
    let push = testing::hmac::notification(json!({}));
    let mut outcomes = async |source: &str, message: &dyn Message| {
        let first = doorbell.send(source, message).await.outcome;
        (first, doorbell.send(source, message).await.outcome)
    };
    let new = (Outcome::Accepted, Outcome::Accepted);
    assert_eq!(outcomes("erp", &update).await, new);
    assert_eq!(outcomes("pim", &renamed).await, new);
    assert_eq!(outcomes("shop", &placed).await, new);
    assert_eq!(outcomes("repo", &push).await, new);
    let twice = (Outcome::Accepted, Outcome::Duplicate);
    assert_eq!(outcomes("erp", &update.request_id("1")).await, twice);
    assert_eq!(outcomes("pim", &renamed.uuid("1")).await, twice);
    assert_eq!(outcomes("shop", &placed.id("65a1f00d0b1e2c3d4e5f6071")).await, twice);
    assert_eq!(outcomes("repo", &push.id("1")).await, twice);
    let ids: Vec<_> =
        doorbell.deliveries().iter().filter_map(|delivery| delivery.sender_id.as_deref()).collect();
    assert_eq!((ids.len(), ids[11]), (12, "1"));
}

#[tokio::test]
async fn quables_notifications_hold_what_they_are_given() {
    let message = testing::quable::notification("document.update")
        .resource("document", "sku_blue_shirt")
        .document_type("product")
        .locales(["de_DE"], ["de_AT", "de_DE"])
        .updated_item("field", "name")
        .updated_item("link", "set")
        .created_at(Timestamp::from_seconds(1_767_000_000))
        .created_by("john_doe")
        .set("process", json!({"type": "bulk_edit", "id": "20aaabe5", "correlationId": "x"}));
    let got = received::<quable::Event>(Quable::new("Bearer abc"), message).await;
    let [(job, event)] = &got[..] else { panic!("{got:?}") };
    assert_eq!(
        (job.kind.as_str(), job.subject.as_deref()),
        ("document.update", Some("document/sku_blue_shirt"))
    );
    assert_eq!(job.occurred_at, Some(Timestamp::from_seconds(1_767_000_000)));
    assert_eq!((&event.locales.updated[..], event.locales.inherited.len()), (&["de_DE".to_owned()][..], 2));
    assert_eq!(
        (event.updated_items.len(), event.resource.document_type_code.as_deref()),
        (2, Some("product"))
    );
    assert_eq!(event.process.as_ref().unwrap().id.as_deref(), Some("20aaabe5"));
    let finished =
        received::<quable::Event>(Quable::new("x"), testing::quable::notification("import.finish")).await;
    assert_eq!((finished[0].0.kind.as_str(), &finished[0].1.resource.code), ("import.finish", &None));
}

#[tokio::test]
async fn shareactors_notifications_hold_what_they_are_given_and_are_signed_as_configured() {
    let message = testing::shareactor::notification("invoice.updated")
        .object(json!({"_id": {"$oid": "65a1f00d0b1e2c3d4e5f6099"}, "total_amount": 349.5}))
        .previous_data(json!({"total_amount": 0}))
        .created(Timestamp::from_seconds(1_767_000_000))
        .company("57ee9c71d76d431f85110000")
        .set("author", json!({"first_name": "Kari"}));
    let provider = Shareactor::new("0123abcd")
        .key(doorbell::provider::KeyDecoding::Hex)
        .unwrap()
        .header("x-kvass-signature".parse().unwrap())
        .encoding(doorbell::provider::Encoding::Base64)
        .require_signature(true);
    let got = received::<shareactor::Event>(provider, message).await;
    let [(job, event)] = &got[..] else { panic!("{got:?}") };
    assert_eq!(
        (job.kind.as_str(), job.subject.as_deref()),
        ("invoice.updated", Some("invoice/65a1f00d0b1e2c3d4e5f6099"))
    );
    assert_eq!(event.data.object["total_amount"], json!(349.5));
    assert_eq!(event.data.previous_data["total_amount"], json!(0));
    assert_eq!(event.author.as_ref().unwrap().first_name.as_deref(), Some("Kari"));
    assert_eq!(event.company.as_deref(), Some("57ee9c71d76d431f85110000"));
}

#[tokio::test]
async fn any_hmac_scheme_is_followed() {
    let scheme = || {
        Scheme::new("x-signature".parse().unwrap())
            .signed("{id}.{timestamp}.{body}".parse().unwrap())
            .timestamp("header:x-timestamp".parse().unwrap())
            .id("header:x-event-id".parse().unwrap())
            .kind("header:x-kind".parse().unwrap())
    };
    let hmac = || Hmac::new(scheme(), "secret").unwrap();
    let message = testing::hmac::notification(json!({"a": [1]})).id("evt 7").header("X-Kind", "order.paid");
    let got = received::<serde_json::Value>(hmac(), message.clone()).await;
    assert_eq!((got[0].0.kind.as_str(), &got[0].1), ("order.paid", &json!({"a": [1]})));

    let mut doorbell = start(Receiver::builder().source("it", hmac())).await;
    let early = doorbell.now().minus(HOUR);
    let stale = doorbell.send("it", message.signed_at(early)).await;
    assert!(stale.outcome == Outcome::Refused && stale.reason.unwrap().contains("away from now"));
    // What is not JSON is sent as it is.
    let raw = testing::hmac::raw("a=1&b=2").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(doorbell.send("it", raw).await.outcome, Outcome::Accepted);
    assert_eq!(doorbell.deliveries()[0].events[0].kind, "event");
    let error = testing::hmac::raw("").header("no header", "").signed_by(&hmac(), early, 1).unwrap_err();
    assert_eq!(error, SignError::Header);
}

#[tokio::test]
async fn a_body_of_ones_own_is_signed_with_the_sources_secret() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let builder = cafe().on("cafe", "*", move |Raw(data): Raw| {
        log.lock().unwrap().push(data);
        ok()
    });
    let mut doorbell = start(builder).await;
    let body = r#"{"account":"a","object":"spot","object_id":1.10,"action":"added","time":1}"#;
    assert_eq!(doorbell.send("cafe", body).await.outcome, Outcome::Accepted);
    doorbell.run().await;
    assert!(seen.lock().unwrap()[0].starts_with(body.trim_end_matches('}').as_bytes()));
}

#[tokio::test]
async fn a_sender_that_signs_its_url_is_sent_to_it_and_its_path_secret_is_not_told() {
    let source = Source::new(Switchboard).path_secret("s/3cret");
    let mut doorbell = start(Receiver::builder().source("calls", source)).await;
    assert_eq!(doorbell.send("calls", "{}").await.outcome, Outcome::Accepted);
    assert_eq!(doorbell.repeat().await.outcome, Outcome::Duplicate);

    let mut moved = doorbell.request("calls", "{}");
    moved.query = Some("lang=de".into());
    let moved = doorbell.send("calls", moved).await;
    let reason = moved.reason.unwrap();
    assert_eq!(moved.outcome, Outcome::Refused);
    assert!(reason.contains("POST /in/calls/[REDACTED]?lang=de") && !reason.contains("3cret"), "{reason}");

    let odd = doorbell.send("calls", "odd").await;
    assert_eq!(
        (odd.outcome, odd.reason.as_deref()),
        (Outcome::Quarantined, Some("odd, at /in/calls/[REDACTED]?lang=en&to=%2B47"))
    );
}

#[test]
fn a_request_made_by_hand_says_where_it_was_sent() {
    let now = Timestamp::from_seconds(1_767_168_200);
    let sent = Switchboard.sign_request_to("/in/calls", "7", now, b"{}".to_vec()).unwrap();
    let request = sent.as_request_to("/in/calls?lang=en&to=%2B47");
    assert_eq!(request.query_value("to").as_deref(), Some("+47"));
    assert!(Switchboard.verify(&request, now).is_ok());
    assert!(Switchboard.verify(&sent.as_request(), now).is_err());
    let elsewhere = request.sent_to(&http::Method::PUT, "/");
    assert_eq!((elsewhere.query, elsewhere.method().as_str(), elsewhere.target()), (None, "PUT", "/"));
    assert!(!format!("{request:?} {:?}", request.line).contains("/in/calls"));
}
