//! A provider alone: no queue, no network, no clock of its own. For those who have all of that already, and want to know
//! who sent a request and what it says.
//!
//! ```sh
//! cargo run --no-default-features --example verify_only
//! ```
//!
//! Crates that it needs beside `doorbell`: `http`.

use doorbell::{
    clock::{Clock, SystemClock},
    provider::{Kladana, Provider, Request, Verdict},
};
use http::{HeaderMap, StatusCode};

/// What to answer the sender, having done with the events what there is to do.
fn receive(
    headers: &HeaderMap,
    query: Option<&str>,
    body: &[u8],
    secret_in_path_is_right: bool,
) -> StatusCode {
    let request =
        Request { query, path_secret_matched: secret_in_path_is_right, ..Request::new(headers, body) };
    match Kladana::new().verify(&request, SystemClock.now()) {
        Ok(Verdict::Accept { sender_id, events }) => {
            let id = sender_id.map_or_else(|| "none".into(), |id| id.value);
            println!("the sender's id: {id}");
            for event in events {
                println!("{} of {}", event.kind, event.subject.as_deref().unwrap_or("something unnamed"));
            }
            StatusCode::OK
        }
        // Its origin is proved. An error would have the sender give the event up, so keep it aside and say yes.
        Ok(other) => {
            println!("nothing to do: {other:?}");
            StatusCode::OK
        }
        Err(refusal) => {
            println!("refused: {refusal}");
            StatusCode::UNAUTHORIZED
        }
    }
}

fn main() {
    let body = br#"{"events":[
        {"meta":{"type":"product","href":"https://api.kladana.com/api/remap/1.2/entity/product/0a7c1e9d-2468-11f0-0a80-0b1100000001"},"action":"UPDATE"},
        {"meta":{"type":"product","href":"https://api.kladana.com/api/remap/1.2/entity/product/0a7c1e9d-2468-11f0-0a80-0b1100000002"},"action":"CREATE"}
    ]}"#;
    let query = Some("requestId=5d8e1c0f-47a9-4b62-b3f0-a7c1e9d24680");
    for right in [true, false] {
        println!("answer: {}\n", receive(&HeaderMap::new(), query, body, right));
    }
}
