//! A bare axum handler that checks the md5 as the floor does, pushes each delivery by itself into the stock queue of
//! apalis on Redis, and answers when Redis has it. A worker beside it handles them with a handler that does nothing.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use apalis::prelude::{
    BackendExt as _, BoxDynError, ParallelizeExt as _, TaskSink as _, WorkerBuilder, WorkerBuilderExt as _,
    WorkerError,
};
use apalis_redis::{Config, RedisStorage};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::Options;
use crate::{clock, noop::Recorder, poster};

/// How many jobs may run at once: as many as Doorbell's workers take by default. The queue fetches as many at once, as
/// it neither renews nor acknowledges while it holds fetched jobs that it cannot start.
const CONCURRENCY: usize = 64;

/// How often the queue is asked for jobs: nothing wakes its worker on a push. It bounds the wait for a handler from
/// below, and asking more often takes Redis away from those that push.
const POLL: Duration = Duration::from_millis(10);

/// A delivery, as it stands in the queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Delivery {
    /// Milliseconds since 1970 began.
    received_at: i64,
    body: String,
}

/// Serves until the process is ended.
pub(crate) async fn serve(options: Options) -> anyhow::Result<()> {
    let connection = apalis_redis::connect(options.redis.as_str())
        .await
        .with_context(|| format!("cannot connect to {}", options.redis))?;
    // Without leases, as its documentation advises where jobs are short: to take one, it searches all that wait.
    let config = Config::default().queue("deliveries").batch_size(CONCURRENCY).lock_tasks(false);
    let queue = RedisStorage::<Delivery>::new(connection).with_config(config);

    let recorder = Recorder::new()?;
    let control = bind(options.control).await?;
    let control = axum::serve(control, recorder.clone().routes());
    let ingress = bind(options.ingress).await?;
    let ingress = axum::serve(ingress, router(queue.clone()));
    tokio::try_join!(
        async { control.await.context("the tally cannot be served") },
        async { ingress.await.context("deliveries cannot be served") },
        async {
            if options.worker {
                // Deliveries are taken all the same: whoever measures sees that nothing is handled any more.
                let ended = work(queue, recorder).await;
                eprintln!(
                    "the worker ended: {}",
                    ended.map_or_else(|error| error.to_string(), |()| "it had no more to do".into())
                );
            }
            Ok(())
        },
    )?;
    Ok(())
}

async fn work(queue: RedisStorage<Delivery>, recorder: Recorder) -> Result<(), WorkerError> {
    let handler = move |delivery: Delivery| {
        recorder.started(delivery.received_at);
        async { Ok::<(), BoxDynError>(()) }
    };
    let worker = WorkerBuilder::new("peer").backend(queue.poll_with_interval(POLL));
    worker.concurrency(CONCURRENCY).parallelize(tokio::spawn).build(handler).run().await
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

fn router(queue: RedisStorage<Delivery>) -> Router {
    let probe = || async { StatusCode::OK };
    Router::new().route("/in/{source}", routing::post(take).get(probe)).with_state(queue)
}

async fn take(
    State(mut queue): State<RedisStorage<Delivery>>,
    Path(source): Path<String>,
    body: Bytes,
) -> Response {
    if source != poster::SOURCE {
        return StatusCode::NOT_FOUND.into_response();
    }
    if !poster::is_authentic(&body) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(body) = String::from_utf8(body.into()) else { return StatusCode::BAD_REQUEST.into_response() };
    let received_at = i64::try_from(clock::since_epoch().as_millis()).unwrap_or(i64::MAX);
    match queue.push(Delivery { received_at, body }).await {
        Ok(()) => ([(header::CONTENT_TYPE, "application/json")], poster::ACCEPTED).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
