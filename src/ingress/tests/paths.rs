//! Whoever guesses paths learns nothing.

use super::support::{Harness, post};

#[tokio::test]
async fn all_that_is_wrong_with_a_path_gets_the_same_reply() {
    let harness = Harness::start();
    let wrong = [
        "/in/unknown",
        "/in/unknown/s2",
        "/in/locked",
        "/in/locked/",
        "/in/locked/wrong",
        "/in/locked/s",
        "/in/locked/s2/",
        "/in/locked/s2/more",
        "/in/plain/needless",
        "/in/plain/",
        "/in//s2",
        "/in/",
        "/in",
        "/",
        "/other",
        "/in/%ff",
    ];
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
        let mut replies = Vec::new();
        for path in wrong {
            let request = post(path, "x-proof: right\r\n", "stock.changed").replace("POST", method);
            replies.push(harness.send(&request).await.bytes());
        }
        assert!(replies[0].starts_with("HTTP/1.1 404 "), "{}", replies[0]);
        assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:#?}");
    }
    for path in wrong {
        let mut client = harness.connect().await;
        client.write(&format!("HEAD {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 404 "), "HEAD {path}");
    }
    // 7 of the paths name a source.
    let of = |reason| harness.refusals("locked", reason);
    assert_eq!(of("missing_path_secret"), 6);
    assert_eq!(of("wrong_path_secret"), 3 * 6);
    assert_eq!(harness.refusals("plain", "needless_path_secret"), 2 * 6);
    assert_eq!(harness.refusals("", "unknown_path"), 10 * 6);
}

#[tokio::test]
async fn every_valid_secret_opens_and_probes_are_answered() {
    let harness = Harness::start();
    for path in ["/in/plain", "/in/locked/s%2F1", "/in/locked/s2", "/in/%6cocked/%732"] {
        let answer = harness.send(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        assert_eq!((answer.status(), answer.body.as_str()), (200, r#"{"status":"toy"}"#), "GET {path}");
        let mut client = harness.connect().await;
        client.write(&format!("HEAD {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200 "), "HEAD {path}");
        assert_eq!(harness.send(&post(path, "x-proof: right\r\n", "a")).await.status(), 200, "POST {path}");
        let put = harness.send(&format!("PUT {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
        assert_eq!((put.status(), put.header("allow")), (405, Some("GET, HEAD, POST")), "PUT {path}");
    }
}

#[tokio::test]
async fn the_path_is_decided_before_the_body_is_read() {
    let harness = Harness::start();
    let answer = harness.send("POST /in/unknown HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n").await;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_path_secret_is_nowhere_to_be_seen() {
    let mut harness = Harness::start();
    let leaky = "x-original-uri: /in/locked/s%2F1\r\nreferer: http://h/in/locked/s/1\r\n";
    assert_eq!(harness.send(&post("/in/locked/s%2F1", leaky, "a")).await.status(), 200);
    let stored = format!("{:?}", harness.stored.recv().await.unwrap());
    assert!(!stored.contains("s/1") && !stored.contains("s%2F1"), "{stored}");

    let wrong = leaky.replace("%2F", "%2f");
    assert_eq!(harness.send(&post("/in/locked/hush", &wrong, "a")).await.status(), 404);
    let refused = format!("{:?} {:?}", harness.refused.newest_first(), harness.ingress);
    assert!(!refused.contains("s/1") && !refused.contains("s%2f1") && !refused.contains("hush"), "{refused}");
}

#[tokio::test]
async fn those_who_try_paths_do_not_push_out_what_an_operator_looks_for() {
    let harness = Harness::start();
    harness.send(&post("/in/plain", "", "a")).await;
    for _ in 0..150 {
        harness.send("GET /wp-login.php HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    }
    assert!(harness.refused.newest_first().iter().any(|refused| refused.source == "plain"));
    assert_eq!(harness.refused.total(), 151);
}
