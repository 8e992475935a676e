//! In an axum application that is there already.

use axum::{extract, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
};

use super::{switchboard::Switchboard, *};

#[tokio::test]
async fn mounted_in_an_axum_application_it_leaves_the_rest_alone() {
    let world = World::start(|builder| builder).await;
    let app = Router::new().route("/", get(|| async { "mine" })).nest("/hooks", world.receiver.router());
    let reply = app.clone().oneshot(request("/hooks/in/cafe", 1)).await.unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    let home = Request::builder().uri("/").body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(home).await.unwrap().status(), StatusCode::OK);
    world.stop().await;
}

#[tokio::test]
async fn an_application_with_a_state_of_its_own_can_take_it_in_before_or_after_it_has_it() {
    let world = World::start(|builder| builder).await;
    let home = |state: extract::State<u32>| async move { state.to_string() };
    let before = Router::new().route("/", get(home)).nest("/hooks", world.receiver.router()).with_state(7);
    let after = Router::new().route("/", get(home)).with_state(7).nest("/hooks", world.receiver.router());
    let merged = Router::new().route("/", get(home)).merge(world.receiver.router()).with_state(7);
    for (app, path) in [(before, "/hooks/in/cafe"), (after, "/hooks/in/cafe"), (merged, "/in/cafe")] {
        let reply = app.clone().oneshot(request(path, 1)).await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        let home = Request::builder().uri("/").body(Body::empty()).unwrap();
        let body = app.oneshot(home).await.unwrap().into_body();
        assert_eq!(axum::body::to_bytes(body, 9).await.unwrap(), "7");
    }
    world.stop().await;
}

#[tokio::test]
async fn after_the_application_has_ended_a_shutdown_waits_for_the_jobs_under_way() {
    let (began, mut begins) = log();
    let (ended, mut ends) = log();
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let world = World::start(|builder| {
        builder.on("cafe", "*", move || {
            let (began, ended, gate) = (began.clone(), ended.clone(), waits.clone());
            async move {
                began.send(())?;
                gate.acquire().await?.forget();
                Ok(ended.send(())?)
            }
        })
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().nest("/hooks", world.router.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
    let server = tokio::spawn(server.into_future());

    let (head, body) = request("/hooks/in/cafe", 1).into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut sender = TcpStream::connect(address).await.unwrap();
    let line = format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", head.uri, body.len());
    sender.write_all(&[line.as_bytes(), &body].concat()).await.unwrap();
    let mut reply = [0; 12];
    sender.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"HTTP/1.1 200");
    begins.recv().await.unwrap();

    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    // First the shutdown is polled until it waits, then the job may end.
    tokio::join!(biased; world.stop(), async { gate.add_permits(1) });
    assert_eq!(ends.recv().await, Some(()));
    assert_eq!(ends.recv().await, None);
}

#[tokio::test]
async fn a_sender_that_signs_its_url_signs_what_the_router_is_nested_under_too() {
    let world =
        World::start(|builder| builder.source("calls", Source::new(Switchboard).path_secret("s"))).await;
    let app = Router::new().nest("/hooks", world.receiver.router());
    for (signed, expected) in [
        ("POST /hooks/in/calls/s?a=%20b&c", StatusCode::OK),
        ("POST /in/calls/s?a=%20b&c", StatusCode::UNAUTHORIZED),
    ] {
        let request = Request::post("/hooks/in/calls/s?a=%20b&c").header("x-signed", signed);
        let reply = app.clone().oneshot(request.body(Body::from("{}")).unwrap()).await.unwrap();
        assert_eq!(reply.status(), expected, "{signed}");
    }
    world.stop().await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_worker_that_is_mounted_acknowledges_nothing_that_it_could_not_make_durable() {
    let redis = servers::RedisServer::start(&[]);
    let queue = || doorbell::RedisQueue::new([redis.url()]);
    let (seen, mut handled) = log();
    let worker = World::start(|builder| {
        let builder = builder.queue(queue()).role(Role::Worker);
        builder.on("cafe", "*", move |job: Job| {
            let sent = seen.send(job.kind);
            async move { Ok(sent?) }
        })
    })
    .await;
    let reply = worker.router.clone().oneshot(request("/in/cafe", 1)).await.unwrap();
    assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.headers()["retry-after"], "1");
    // A proxy that asks whether deliveries can be sent here is told the same.
    let probe = Request::head("/in/cafe").body(Body::empty()).unwrap();
    assert_eq!(worker.router.clone().oneshot(probe).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    // What the sender repeats elsewhere is new there, and is what the worker gets.
    let ingress =
        World::start(|builder| builder.queue(queue()).role(Role::Ingress).on("cafe", "*", async || Ok(())))
            .await;
    assert_eq!(ingress.ring(1).await, StatusCode::OK);
    assert_eq!(handled.recv().await.as_deref(), Some("stock.changed"));
    ingress.stop().await;
    worker.stop().await;
    assert_eq!(handled.recv().await, None);
}
