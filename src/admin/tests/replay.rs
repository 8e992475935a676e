//! Replays of one job, one delivery, and many.

use serde_json::{Value, json};

use super::Fixture;
use crate::journal::{DeliveryState, JobState::*};

fn replayed(replayed: usize, deliveries: usize) -> Value {
    json!({ "replayed": replayed, "deliveries": deliveries, "unrouted": 0, "unreadable": 0 })
}

#[tokio::test]
async fn a_job_is_replayed_even_if_it_is_done() {
    let fixture = Fixture::new();
    let id = fixture.add("cafe", &[("stock.changed", &[("stock", Done), ("all-cafe", Running)])]);
    let jobs = fixture.summary(id).jobs;
    let answer = fixture.post(&format!("/api/jobs/{}/replay", jobs[0].id), "").await;
    assert_eq!((answer.status, answer.json()), (200, replayed(1, 1)));
    fixture.post(&format!("/api/jobs/{}/replay", jobs[1].id), "").await.is_problem(409, &["running"]);
    fixture.post(&format!("/api/jobs/{}/replay", uuid::Uuid::nil()), "").await.is_problem(404, &["no job"]);
    assert_eq!(fixture.store.job_states(), [Queued, Running]);
}

#[tokio::test]
async fn of_a_delivery_what_is_not_done_or_all_if_all_is_done() {
    let fixture = Fixture::new();
    let id = fixture.add("cafe", &[("stock.changed", &[("stock", Done), ("all-cafe", Dead)])]);
    let answer = fixture.post(&format!("/api/deliveries/{id}/replay"), "").await;
    assert_eq!((answer.status, answer.json()), (200, replayed(1, 1)));
    assert_eq!(fixture.store.job_states(), [Done, Queued]);
    // What is left waits already.
    fixture.post(&format!("/api/deliveries/{id}/replay"), "").await.is_problem(409, &["queued"]);

    let done = Fixture::new();
    let id = done.add("cafe", &[("stock.changed", &[("stock", Done), ("all-cafe", Done)])]);
    assert_eq!(done.post(&format!("/api/deliveries/{id}/replay"), "").await.json(), replayed(2, 1));
}

#[tokio::test]
async fn a_route_an_event_or_a_job_narrows_it() {
    let fixture = Fixture::new();
    let both: &[_] = &[("stock", Dead), ("all-cafe", Dead)];
    let id = fixture.add("cafe", &[("stock.changed", both), ("stock.removed", both)]);
    let path = |id: String, query: &str| format!("/api/deliveries/{id}/replay{query}");

    let answer = fixture.post(&path(id.to_string(), "?route=nobody"), "").await;
    answer.is_problem(404, &["\"nobody\"", "all-cafe, stock"]);
    fixture.post(&path(id.to_string(), "?rout=stock"), "").await.is_problem(400, &["rout", "route"]);
    let answer = fixture.post(&path(id.event(1).to_string(), "?route=all-cafe"), "").await;
    assert_eq!(answer.json(), replayed(1, 1));
    assert_eq!(fixture.store.job_states(), [Dead, Dead, Dead, Queued]);
    let job = fixture.summary(id).jobs[1].id;
    fixture.post(&path(job.to_string(), ""), "").await;
    assert_eq!(fixture.store.job_states(), [Dead, Queued, Dead, Queued]);
    assert_eq!(fixture.post(&path(id.to_string(), "?route=stock"), "").await.json(), replayed(2, 1));
}

#[tokio::test]
async fn what_was_quarantined_is_read_and_routed_afresh() {
    let fixture = Fixture::new();
    let id = fixture.add_quarantined("cafe", "stock.changed\norder.created");
    let answer = fixture.post(&format!("/api/deliveries/{id}/replay"), "").await;
    assert_eq!((answer.status, answer.json()), (200, replayed(3, 1)));
    let summary = fixture.summary(id);
    assert_eq!(summary.state, DeliveryState::Accepted);
    let jobs: Vec<_> = summary.jobs.iter().map(|job| (job.kind.as_str(), job.route.as_str())).collect();
    assert_eq!(
        jobs,
        [("stock.changed", "stock"), ("stock.changed", "all-cafe"), ("order.created", "all-cafe")]
    );
}

#[tokio::test]
async fn what_can_still_not_be_read_stays_as_it_is() {
    let fixture = Fixture::new();
    let garbage = fixture.add_quarantined("cafe", "garbage");
    let orphan = fixture.add_quarantined("gone", "stock.changed");
    let test = fixture.add_as("cafe", DeliveryState::Test, b"test".to_vec(), &[]);
    fixture
        .post(&format!("/api/deliveries/{garbage}/replay"), "")
        .await
        .is_problem(422, &["this is garbage"]);
    fixture
        .post(&format!("/api/deliveries/{orphan}/replay"), "")
        .await
        .is_problem(409, &["\"gone\"", "configure"]);
    fixture.post(&format!("/api/deliveries/{test}/replay"), "").await.is_problem(409, &["test"]);
    assert_eq!(fixture.summary(garbage).state, DeliveryState::Quarantined);
    // A wish for all of them counts them.
    let answer = fixture.post("/api/replay", json!({ "state": "quarantined" }).to_string()).await;
    assert_eq!(answer.json(), json!({ "replayed": 0, "deliveries": 0, "unrouted": 0, "unreadable": 2 }));
}

#[tokio::test]
async fn only_events_without_a_route_are_routed_afresh() {
    let fixture = Fixture::new();
    // `all-cafe` would want the first event too; it has found its route, and keeps to it.
    let id = fixture.add("cafe", &[("stock.changed", &[("stock", Done)]), ("order.created", &[])]);
    let answer = fixture.post(&format!("/api/deliveries/{id}/replay"), "").await;
    assert_eq!((answer.status, answer.json()), (200, replayed(1, 1)));
    assert_eq!(fixture.store.job_states(), [Done, Queued]);
    assert_eq!(fixture.summary(id).jobs[1].route, "all-cafe");
    assert!(!fixture.summary(id).events[1].unrouted);

    let unwanted = fixture.add("shop", &[("order.created", &[])]);
    let answer = fixture.post(&format!("/api/deliveries/{unwanted}/replay"), "").await;
    let nothing = json!({ "replayed": 0, "deliveries": 0, "unrouted": 1, "unreadable": 0 });
    assert_eq!((answer.status, answer.json()), (200, nothing));
}

#[tokio::test]
async fn many_are_replayed_by_condition_over_all_pages() {
    let fixture = Fixture::new();
    for _ in 0..4 {
        fixture.add("cafe", &[("stock.changed", &[("stock", Dead), ("all-cafe", Retrying)])]);
        fixture.add("shop", &[("stock.changed", &[("stock", Dead)])]);
        fixture.add("cafe", &[("stock.changed", &[("stock", Done)])]);
    }
    let answer = fixture.post("/api/replay", json!({ "state": "dead", "source": "cafe" }).to_string()).await;
    assert_eq!((answer.status, answer.json()), (200, replayed(4, 4)));
    let states = fixture.store.job_states();
    let count = |state| states.iter().filter(|&&other| other == state).count();
    assert_eq!((count(Queued), count(Retrying), count(Dead), count(Done)), (4, 4, 4, 4));
}

#[tokio::test]
async fn the_kind_narrows_within_a_delivery() {
    let fixture = Fixture::new();
    let id = fixture
        .add("cafe", &[("stock.changed", &[("stock", Dead)]), ("order.created", &[("all-cafe", Dead)])]);
    let answer = fixture.post("/api/replay", json!({ "kind": "order.*" }).to_string()).await;
    assert_eq!(answer.json(), replayed(1, 1));
    assert_eq!(fixture.store.job_states(), [Dead, Queued]);
    assert_eq!(fixture.summary(id).jobs[1].replays, 1);
}

#[tokio::test]
async fn unrouted_events_are_routed_in_bulk_and_their_neighbours_left_alone() {
    let fixture = Fixture::new();
    fixture.add("cafe", &[("stock.changed", &[("stock", Done)]), ("order.created", &[])]);
    let answer = fixture.post("/api/replay", json!({ "state": "unrouted" }).to_string()).await;
    assert_eq!(answer.json(), replayed(1, 1));
    assert_eq!(fixture.store.job_states(), [Done, Queued]);
}

#[tokio::test]
async fn a_bulk_replay_needs_a_condition_that_makes_sense() {
    let fixture = Fixture::new();
    for (body, words) in [
        ("{}", ["condition", "source"]),
        (r#"{"source":"","state":null}"#, ["condition", "source"]),
        (r#"{"sorce":"cafe"}"#, ["sorce", "source"]),
        (r#"{"state":"running"}"#, ["state", "dead"]),
        (r#"{"state":"lost"}"#, ["\"lost\"", "dead"]),
        ("", ["JSON", "EOF"]),
    ] {
        fixture.post("/api/replay", body).await.is_problem(400, &words);
    }
    fixture.post("/api/replay", vec![b' '; 20_000]).await.is_problem(413, &[]);
}

#[tokio::test]
async fn a_bulk_replay_that_fails_midway_says_how_far_it_came() {
    let fixture = Fixture::new();
    for _ in 0..5 {
        fixture.add("cafe", &[("stock.changed", &[("stock", Dead)])]);
    }
    fixture.store.held().replays_left = Some(4);
    let answer = fixture.post("/api/replay", json!({ "state": "dead" }).to_string()).await;
    answer.is_problem(503, &["disk full"]);
    assert_eq!((&answer.json()["replayed"], &answer.json()["deliveries"]), (&json!(4), &json!(4)));
}
