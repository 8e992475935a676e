//! Senders that are slow, and bodies that do not end.

use std::{io, net::SocketAddr, time::Duration};

use doorbell::clock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::{
    PATIENCE,
    http::Connection,
    sender::{Load, delivery, is_success},
    service::Setup,
    sink::Sink,
    until,
};

/// When a dribbling connection must be over: its headers have 2 s, its body 1 s after them, and a reply that it does
/// not read lingers for 1 s. The rest is for a machine that is busy with other tests.
const IN_TIME: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_dribbling_connections_are_closed_while_good_ones_are_answered() {
    let sink = Sink::start().await;
    let service = Setup::with_sink(&sink).start().await;
    let (_held, address) = watch::channel(service.ingress());
    let load = Load::start(&address, 4);
    until("it acknowledges", async || load.acknowledged() > 0).await;

    let began = clock::instant();
    let before = load.acknowledged();
    let mut dribblers = JoinSet::new();
    let request = delivery(1_000_000);
    let head = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    for number in 0..500 {
        // One half dribbles its headers, the other its body.
        let at_once = if number % 2 == 0 { 1 } else { head };
        dribblers.spawn(dribble(service.ingress(), request.clone(), at_once));
    }
    let statuses = timeout(PATIENCE, dribblers.join_all()).await.expect("some are never closed");
    let took = clock::instant() - began;
    let during = load.acknowledged() - before;
    println!("500 dribbling connections closed in {took:?}; {during} good deliveries acknowledged meanwhile");
    assert!(took < IN_TIME, "{took:?}");
    for (number, status) in statuses.into_iter().flatten().enumerate() {
        assert_eq!(status, 408, "dribbler {number}");
    }

    assert!(during > 0, "good deliveries waited for the dribblers");
    let (acknowledged, troubles) = load.stop().await;
    assert!(troubles.is_empty(), "good deliveries were turned away: {troubles:?}");
    sink.has(&acknowledged).await;
    assert!(!sink.objects().contains(&1_000_000));
    service.stop().await;
}

/// Sends the first part at once and then a byte every now and then, until the other side closes. Gives back the
/// status of the reply, if there was one.
async fn dribble(address: SocketAddr, request: Vec<u8>, at_once: usize) -> Option<u16> {
    let connection = Connection::open(address).await.unwrap();
    let (mut reader, mut writer) = connection.stream.into_split();
    let mut received = Vec::new();
    let (first, rest) = request.split_at(at_once);
    let writing = async {
        writer.write_all(first).await?;
        for byte in rest {
            tokio::time::sleep(Duration::from_millis(100)).await;
            writer.write_all(&[*byte]).await?;
        }
        panic!("it took all of a dribbled request");
    };
    let reading = async {
        // Also a connection that is reset is closed.
        let _: Result<_, io::Error> = reader.read_to_end(&mut received).await;
    };
    let mut reading = std::pin::pin!(reading);
    tokio::select! {
        () = &mut reading => {}
        // Writing fails once the other side is gone; what it said before is still there to be read.
        result = writing => { let _: io::Result<()> = result; reading.await; }
    }
    received.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_a_gibibyte_is_refused_and_costs_no_memory() {
    const MIB: u64 = 1 << 20;
    let sink = Sink::start().await;
    let service = Setup::with_sink(&sink).start().await;
    // What the first delivery takes is not the large body's doing.
    let mut good = Connection::open(service.ingress()).await.unwrap();
    assert!(is_success(&good.exchange(&delivery(1)).await.unwrap()));
    sink.has(&[1].into()).await;
    let before = service.memory("VmHWM");

    let head = "POST /in/cafe HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let mut declared = Connection::open(service.ingress()).await.unwrap();
    let reply = declared.exchange(format!("{head}content-length: {}\r\n\r\n", 1024 * MIB).as_bytes()).await;
    assert_eq!(reply.unwrap().status, 413);

    let mut endless = Connection::open(service.ingress()).await.unwrap();
    endless.stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    let (mut reader, mut writer) = endless.stream.into_split();
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 1 << 16], b"\r\n"].concat();
    let writing = tokio::spawn(async move {
        let mut sent = 0_u64;
        while sent < 1024 * MIB {
            if writer.write_all(&chunk).await.is_err() {
                return sent;
            }
            sent += 1 << 16;
        }
        sent
    });
    let mut reply = [0; 12];
    let answered = timeout(PATIENCE, reader.read_exact(&mut reply)).await.expect("no reply");
    if answered.is_ok() {
        assert_eq!(&reply[9..], b"413");
    }
    let sent = timeout(PATIENCE, writing).await.expect("it neither takes nor refuses the body").unwrap();
    drop(reader);

    let after = service.memory("VmHWM");
    println!("{} MiB were sent; at most {before:?} bytes of memory before, {after:?} after", sent / MIB);
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after - before < 32 * MIB, "from {before} to {after} bytes");
    }
    assert!(is_success(&good.exchange(&delivery(2)).await.unwrap()), "others are served as before");
    sink.has(&[1, 2].into()).await;
    service.stop().await;
}
