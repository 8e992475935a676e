//! The same delivery many times at once.

use std::{collections::BTreeSet, sync::Arc};

use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    http::Connection,
    sender::{delivery, is_success},
    service::Setup,
    sink::Sink,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_equal_deliveries_at_once_are_one_event() {
    const SENDERS: usize = 100;
    let sink = Sink::start().await;
    let service = Setup::with_sink(&sink).start().await;
    let request = Arc::new(delivery(7));
    let together = Arc::new(Barrier::new(SENDERS));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (request, together, address) = (request.clone(), together.clone(), service.ingress());
        senders.spawn(async move {
            let mut connection = Connection::open(address).await.unwrap();
            together.wait().await;
            connection.exchange(&request).await.unwrap()
        });
    }
    let replies = senders.join_all().await;
    assert!(replies.iter().all(is_success), "{replies:?}");
    let deliveries: BTreeSet<_> =
        replies.iter().map(|reply| reply.header("doorbell-delivery").unwrap()).collect();
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");

    sink.has(&BTreeSet::from([7])).await;
    service.is_idle().await;
    assert_eq!(sink.effects().len(), 1);
    let stats = service.json("/api/stats").await;
    assert_eq!(stats["deliveries"]["accepted"], 1, "{stats}");
    assert_eq!(stats["deliveries"]["duplicate"], SENDERS - 1, "{stats}");
    assert_eq!(stats["jobs"]["done"], 1, "{stats}");
    service.stop().await;
}
