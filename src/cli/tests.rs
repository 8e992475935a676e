//! The commands on an admin API with a store in memory, in-process and over HTTP.

use std::process::ExitCode;

use axum::Router;
use clap::{CommandFactory as _, Parser};
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{
    Cli,
    client::{Api, ApiError},
    conditions, dead, list,
    output::Output,
    refused, replay, show, tail,
};
use crate::{
    admin::tests::{Fixture, START, TOKEN},
    ingress::RefusedRequest,
    journal::{DeliveryState, JobState::*},
    live::LiveItem,
    provider::Secret,
};

const JSON: Output = Output { json: true };
const TEXT: Output = Output { json: false };

/// A command line with only these commands, as the whole one has them.
#[derive(Debug, Parser)]
enum Line {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Replay(replay::ReplayArgs),
    Dead(dead::DeadArgs),
    Refused(refused::RefusedArgs),
    Tail(tail::TailArgs),
}

async fn run(api: &Api, line: &str) -> Result<ExitCode, ApiError> {
    let out = if line.contains("--json") { JSON } else { TEXT };
    let words = line.split(' ').filter(|word| *word != "--json");
    match Line::try_parse_from(std::iter::once("doorbell").chain(words)).unwrap() {
        Line::List(args) => list::run(args, api, out).await,
        Line::Show(args) => show::run(args, api, out).await,
        Line::Replay(args) => replay::run(args, api, out).await,
        Line::Dead(args) => dead::run(args, api, out).await,
        Line::Refused(args) => refused::run(args, api, out).await,
        Line::Tail(args) => tail::run(args, api, out).await,
    }
}

fn local(fixture: &Fixture) -> Api {
    Api::local(fixture.router(), &Secret::from(TOKEN)).unwrap()
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Api::url_of(listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_service_and_this_process_answer_alike() {
    let fixture = Fixture::new();
    fixture.add("cafe & bar", &[("stock.changed", &[("stock", Dead)])]);
    // As if a proxy had the listener below a path of its own.
    let url = serve(Router::new().nest("/admin", fixture.router())).await + "/admin/";
    let apis = [local(&fixture), Api::remote(&url, &Secret::from(TOKEN)).unwrap()];
    for api in &apis {
        let query = [("source", "cafe & bar".to_owned()), ("state", "dead".to_owned())];
        let page = api.get("/api/deliveries", &query).await.unwrap();
        assert_eq!(page["deliveries"][0]["source"], "cafe & bar");
        let error = api.post("/api/replay", &[], Some(&json!({}))).await.unwrap_err();
        assert!(matches!(&error, ApiError::Problem { status: 400, detail } if detail.contains("condition")));
        assert_eq!(error.code(), 2);
        assert!(!format!("{api:?}").contains(TOKEN));
    }
    for api in [
        Api::local(fixture.router(), &Secret::from("wrong")).unwrap(),
        Api::remote(&url, &Secret::from("wrong")).unwrap(),
    ] {
        let error = api.get("/api/stats", &[]).await.unwrap_err();
        assert!(matches!(&error, ApiError::Problem { status: 401, detail } if detail.contains("token")));
        assert_eq!(error.code(), 2);
    }
}

#[tokio::test]
async fn what_is_no_admin_listener_is_told() {
    // Hangs up on everybody.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let api = Api::remote(&Api::url_of(gone), &Secret::from(TOKEN)).unwrap();
    let error = api.get("/api/stats", &[]).await.unwrap_err();
    assert!(matches!(&error, ApiError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&gone.to_string()) && error.code() == 1, "{error}");

    let other = serve(Router::new().fallback(async || "hello")).await;
    let api = Api::remote(&other, &Secret::from(TOKEN)).unwrap();
    assert!(matches!(api.get("/api/stats", &[]).await, Err(ApiError::Foreign { .. })));

    for url in ["127.0.0.1:8081", "ftp://127.0.0.1", ""] {
        let error = Api::remote(url, &Secret::from(TOKEN)).unwrap_err();
        assert!(error.to_string().contains("http://127.0.0.1:8081") && error.code() == 2, "{error}");
    }
    assert_eq!(Api::url_of("0.0.0.0:8081".parse().unwrap()), "http://127.0.0.1:8081");
    assert_eq!(Api::url_of("[::]:8081".parse().unwrap()), "http://[::1]:8081");
}

#[tokio::test]
async fn list_gathers_pages_and_says_in_what_state_things_are() {
    let fixture = Fixture::new();
    let ids: Vec<_> = (0..8).map(|_| fixture.add("cafe", &[("stock.changed", &[("stock", Done)])])).collect();
    fixture.add("shop", &[("a.b", &[("stock", Done), ("all-cafe", Dead)]), ("c.d", &[])]);
    let api = local(&fixture);
    let page = conditions::gather(&api, "deliveries", &[], 7).await.unwrap();
    assert_eq!(page["deliveries"].as_array().unwrap().len(), 7);
    assert_eq!(page["deliveries"][1]["id"], json!(ids[7]));

    let text = list::text(&page).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("RECEIVED") && lines[0].ends_with("STATE"), "{text}");
    assert!(lines[1].contains("  shop    a.b +1         1 done, 1 dead, 1 unrouted"), "{text}");
    assert!(lines[2].ends_with("  cafe    stock.changed  done"), "{text}");
    assert!(text.ends_with("There are more; see --limit.\n"), "{text}");

    let found = conditions::gather(&api, "deliveries", &[("source", "shop".into())], 50).await.unwrap();
    assert_eq!((found["deliveries"].as_array().unwrap().len(), &found["next"]), (1, &json!(null)));
    assert_eq!(
        run(&api, "list --json --state dead --kind a.* --since 100000days").await.unwrap(),
        ExitCode::SUCCESS
    );
    assert!(Line::try_parse_from(["doorbell", "list", "--state", "deaf"]).is_err());
}

#[tokio::test]
async fn show_has_all_of_it() {
    let fixture = Fixture::new();
    let body = br#"{"b":1.50,"a":"hush"}"#.to_vec();
    let states: &[_] = &[("stock", Retrying)];
    let id =
        fixture.add_as("cafe", DeliveryState::Accepted, body, &[("stock.changed", states), ("x\u{1b}", &[])]);
    let api = local(&fixture);
    let shown = api.get(&format!("/api/deliveries/{id}"), &[]).await.unwrap();
    let text = show::text(&shown).unwrap();
    for part in [
        &format!("Delivery     {id}"),
        "Source       cafe (lines)",
        "State        1 retrying, 1 unrouted",
        "no route wants it",
        "x\\u{1b}",
        &fixture.summary(id).jobs[0].id.to_string(),
        "content-type: text/plain",
        "Body (21 bytes, secrets masked)\n  {\n    \"b\": 1.50,\n    \"a\": \"[REDACTED]\"\n  }\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert_eq!(run(&api, &format!("show {id}")).await.unwrap(), ExitCode::SUCCESS);
    let error = run(&api, &format!("show {}", Uuid::nil())).await.unwrap_err();
    assert!(matches!(error, ApiError::Problem { status: 404, .. }) && error.code() == 1);
}

#[tokio::test]
async fn replay_by_ids_or_by_conditions() {
    let fixture = Fixture::new();
    let one = fixture.add("cafe", &[("stock.changed", &[("stock", Dead), ("all-cafe", Dead)])]);
    let two = fixture.add("shop", &[("stock.changed", &[("stock", Dead)])]);
    let api = local(&fixture);
    assert_eq!(run(&api, &format!("replay {one} --route stock")).await.unwrap(), ExitCode::SUCCESS);
    assert_eq!(fixture.store.job_states(), [Queued, Dead, Dead]);
    // One that is not there fails the command, and the others are done all the same.
    let code = run(&api, &format!("replay --json {} {two}", Uuid::nil())).await.unwrap();
    assert_eq!((code, fixture.store.job_states()), (ExitCode::FAILURE, vec![Queued, Dead, Queued]));
    assert_eq!(run(&api, "replay --state dead --source cafe").await.unwrap(), ExitCode::SUCCESS);
    assert_eq!(fixture.store.job_states(), [Queued, Queued, Queued]);

    let id = Uuid::nil().to_string();
    for wrong in [
        &["replay"][..],
        &["replay", &id, "--state", "dead"],
        &["replay", &id, "--source", "a"],
        &["replay", "x"],
    ] {
        let error = Line::try_parse_from(std::iter::once(&"doorbell").chain(wrong)).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{wrong:?}");
    }
    let answer = json!({ "replayed": 1, "deliveries": 1, "unrouted": 2, "unreadable": 1 });
    let text = replay::text(&answer).unwrap();
    assert!(
        text.starts_with("Replayed 1 job of 1 delivery.\nNo route wants 2 events.\n1 delivery "),
        "{text}"
    );
}

#[tokio::test]
async fn dead_letters_are_listed_replayed_and_discarded() {
    let fixture = Fixture::new();
    let ids: Vec<_> = (0..6)
        .map(|_| fixture.add("cafe", &[("stock.changed", &[("stock", Dead), ("all-cafe", Done)])]))
        .collect();
    let api = local(&fixture);
    let page = conditions::gather(&api, "jobs", &[("state", "dead".into())], 50).await.unwrap();
    let text = dead::text(&page).unwrap();
    assert_eq!(text.lines().count(), 7, "{text}");
    assert_eq!(run(&api, "dead list").await.unwrap(), ExitCode::SUCCESS);

    let done = fixture.summary(ids[0]).jobs[1].id;
    assert_eq!(run(&api, &format!("dead replay {done}")).await.unwrap(), ExitCode::FAILURE);
    assert_eq!(run(&api, &format!("dead replay {}", ids[0])).await.unwrap(), ExitCode::SUCCESS);
    assert_eq!(fixture.store.job_states()[..2], [Queued, Done]);
    let job = fixture.summary(ids[1]).jobs[0].id;
    assert_eq!(run(&api, &format!("dead discard {job}")).await.unwrap(), ExitCode::SUCCESS);
    assert_eq!(run(&api, &format!("dead discard {job}")).await.unwrap(), ExitCode::FAILURE);
    assert_eq!(run(&api, "dead discard --all --source cafe").await.unwrap(), ExitCode::SUCCESS);
    let states = fixture.store.job_states();
    assert_eq!(states.iter().filter(|&&state| state == Discarded).count(), 5, "{states:?}");
    assert_eq!(run(&api, "dead replay --all").await.unwrap(), ExitCode::SUCCESS);

    for wrong in [&["dead", "discard"][..], &["dead", "replay", "--source", "cafe"]] {
        assert!(Line::try_parse_from(std::iter::once(&"doorbell").chain(wrong)).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn refused_requests_show_what_the_sender_was_not_told() {
    let fixture = Fixture::new();
    let api = local(&fixture);
    assert_eq!(run(&api, "refused").await.unwrap(), ExitCode::SUCCESS);
    fixture.context.refused.add(RefusedRequest {
        at: START,
        source: String::new(),
        reason: "wrong_proof".into(),
        detail: "verify matches none of the valid secrets".into(),
        headers: vec![("user-agent".into(), "curl".into())],
        size: 3,
        digest: String::new(),
    });
    let answer = api.get("/api/refused", &[]).await.unwrap();
    let text = refused::text(&answer, true).unwrap();
    assert!(text.contains("-       wrong_proof  3      verify matches none"), "{text}");
    assert!(text.ends_with("secrets\n  user-agent: curl\n"), "{text}");
}

#[tokio::test]
async fn tail_follows_a_service_until_it_stops() {
    let fixture = Fixture::new();
    let error = run(&local(&fixture), "tail").await.unwrap_err();
    assert!(matches!(error, ApiError::NotRunning));

    let url = serve(fixture.router()).await;
    let api = Api::remote(&url, &Secret::from(TOKEN)).unwrap();
    let mut feed = api.feed().await.unwrap();
    fixture.live.tell(|| LiveItem::Delivery {
        at: START,
        source: "cafe".into(),
        outcome: "accepted",
        id: None,
        kinds: vec!["stock.changed".into()],
        ack_micros: 1812,
    });
    let event = feed.next().await.unwrap().unwrap();
    let line = tail::line(&event);
    assert!(line.starts_with("2025-12-31T08:03:20.000Z  accepted "), "{line}");
    assert!(line.ends_with("  cafe  stock.changed  acknowledged in 1.812 ms\n"), "{line}");
    fixture.live.close();
    assert!(feed.next().await.unwrap().is_none());

    let wrong = Api::remote(&url, &Secret::from("wrong")).unwrap();
    assert!(matches!(wrong.feed().await, Err(ApiError::Problem { status: 401, .. })));
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn global_options_stand_before_or_after_the_subcommand() {
    for line in [["doorbell", "--json", "check"], ["doorbell", "check", "--json"]] {
        assert!(Cli::try_parse_from(line).unwrap().global.json, "{line:?}");
    }
}
