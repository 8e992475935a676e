//! What proving and reading a notification costs, beside the least that anybody has to do for the same bytes.
//!
//! `cargo bench -p doorbell-bench --bench verify`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use doorbell::{
    clock::Timestamp,
    provider::{FromEvent, Poster, Provider, Request, Secret, Verdict, poster::Stock},
    testing::Sample,
};
use md5::{Digest, Md5};
use serde::Deserialize;

const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";

/// A notification as one writes it down to begin with.
#[derive(Deserialize)]
struct Body {
    account: String,
    object: String,
    object_id: u64,
    action: String,
    time: String,
    verify: String,
    data: String,
}

/// The data of `stock`, likewise.
#[derive(Deserialize)]
struct Level {
    #[expect(dead_code, reason = "read because the other side reads it, too")]
    element_id: u64,
    value_absolute: f64,
}

/// The md5 and `serde_json`, and nothing of what makes a receiver safe.
fn raw(body: &[u8]) -> Option<Body> {
    let body: Body = serde_json::from_slice(body).ok()?;
    let mut md5 = Md5::new();
    for part in
        [&body.account, &body.object, &body.object_id.to_string(), &body.action, &body.data, &body.time]
    {
        md5.update(part);
        md5.update(";");
    }
    md5.update(SECRET);
    (hex::encode(md5.finalize()) == body.verify).then_some(body)
}

/// The same with what stands in `data`.
fn raw_with_data(body: &[u8]) -> Option<f64> {
    serde_json::from_str::<Level>(&raw(body)?.data).ok().map(|level| level.value_absolute)
}

/// Proved, read and typed as a receiver and its handler do it.
fn whole(poster: &Poster, request: &Request<'_>, now: Timestamp) -> Option<Stock> {
    let Verdict::Accept { events, .. } = poster.verify(request, now).ok()? else { return None };
    let event = events.first()?;
    Stock::from_event(&event.kind, request.body).ok()
}

fn poster(criterion: &mut Criterion) {
    let now = Timestamp::from_seconds(1_767_168_200);
    let secret = Secret::from(SECRET);
    let Ok(sent) = Sample::Poster.request(Some(&secret), now, 1) else { panic!("the sample can't be made") };
    let poster = Poster::new(secret);
    let request = sent.as_request();
    assert!(
        raw_with_data(&sent.body).is_some() && whole(&poster, &request, now).is_some(),
        "both take the sample"
    );

    let mut group = criterion.benchmark_group("Poster's stock.changed");
    group.throughput(Throughput::Bytes(sent.body.len() as u64));
    group.bench_function("md5 and serde_json", |bencher| bencher.iter(|| raw(black_box(&sent.body))));
    group.bench_function("verified and parsed", |bencher| {
        bencher.iter(|| poster.verify(black_box(&request), now));
    });
    group.bench_function("md5 and serde_json, with data", |bencher| {
        bencher.iter(|| raw_with_data(black_box(&sent.body)));
    });
    group.bench_function("verified, parsed and typed", |bencher| {
        bencher.iter(|| whole(&poster, black_box(&request), now));
    });
    group.finish();
}

criterion_group!(benches, poster);
criterion_main!(benches);
