//! The load: Poster's `stock.changed`, signed as Poster signs it, and the check that the floor makes.

use std::{borrow::Cow, io::Write as _};

use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The source that every server here is configured with.
pub(crate) const SOURCE: &str = "cafe";

/// Where the deliveries go.
pub(crate) const PATH: &str = "/in/cafe";

/// What every server here is configured with, and every delivery is signed with. Made up, and worth nothing.
pub(crate) const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";

/// The only reply that Poster takes for a success.
pub(crate) const ACCEPTED: &[u8] = br#"{"status":"accept"}"#;

const ACCOUNT: &str = "demo-cafe";

/// Writes requests into one buffer, each a delivery of its own.
pub(crate) struct Sender {
    head: Vec<u8>,
    data: Vec<u8>,
    body: Vec<u8>,
    request: Vec<u8>,
}

impl Sender {
    /// A sender to `host`, as it stands in the `Host` header.
    pub(crate) fn new(host: &str) -> Self {
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: doorbell-bench\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nContent-Length: "
        );
        Self { head: head.into_bytes(), data: Vec::new(), body: Vec::new(), request: Vec::new() }
    }

    /// The whole request that says that stock `id` changed at `time` (seconds since 1970). Another id makes
    /// another delivery; the same id at another second does too.
    pub(crate) fn request(&mut self, id: u64, time: u64) -> &[u8] {
        self.write_body(id, time);
        self.request.clear();
        self.request.extend_from_slice(&self.head);
        // Writing into a `Vec` cannot fail.
        let _ = write!(self.request, "{}\r\n\r\n", self.body.len());
        self.request.extend_from_slice(&self.body);
        &self.request
    }

    fn write_body(&mut self, id: u64, time: u64) {
        self.data.clear();
        let _ = write!(
            self.data,
            r#"{{"type":2,"element_id":{id},"storage_id":1,"value_relative":-1,"value_absolute":23.5}}"#
        );
        let mut md5 = Md5::new();
        md5.update(ACCOUNT);
        md5.update(b";stock;");
        self.body.clear();
        let _ = write!(self.body, "{id}");
        md5.update(&self.body);
        md5.update(b";changed;");
        md5.update(&self.data);
        self.body.clear();
        let _ = write!(self.body, ";{time};");
        md5.update(&self.body);
        md5.update(SECRET);
        let verify = hex_digest(md5);

        self.body.clear();
        let _ = write!(
            self.body,
            r#"{{"account":"{ACCOUNT}","object":"stock","object_id":{id},"action":"changed","time":"{time}","verify":"{}","account_number":"401122","data":""#,
            verify.escape_ascii()
        );
        for &byte in &self.data {
            if byte == b'"' {
                self.body.push(b'\\');
            }
            self.body.push(byte);
        }
        self.body.extend_from_slice(b"\"}");
    }
}

/// How long a body of the load is, in bytes: all of a run are as long as each other.
pub(crate) fn body_bytes() -> f64 {
    let mut sender = Sender::new("");
    sender.write_body(1_000_000_000, 1_000_000_000);
    u32::try_from(sender.body.len()).map_or(f64::NAN, f64::from)
}

/// Whether this body is a notification that carries the right md5.
pub(crate) fn is_authentic(body: &[u8]) -> bool {
    let Ok(sent) = serde_json::from_slice::<Notification<'_>>(body) else { return false };
    let mut md5 = Md5::new();
    for part in [&*sent.account, &*sent.object, literal(sent.object_id), &*sent.action] {
        md5.update(part);
        md5.update(b";");
    }
    if let Some(data) = &sent.data {
        md5.update(&**data);
        md5.update(b";");
    }
    md5.update(literal(sent.time));
    md5.update(b";");
    md5.update(SECRET);
    sent.verify.as_bytes().eq_ignore_ascii_case(&hex_digest(md5))
}

#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow)]
    account: Cow<'a, str>,
    #[serde(borrow)]
    object: Cow<'a, str>,
    #[serde(borrow)]
    object_id: &'a RawValue,
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    time: &'a RawValue,
    #[serde(borrow)]
    verify: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<Cow<'a, str>>,
}

fn literal(value: &RawValue) -> &str {
    value.get().trim_matches('"')
}

fn hex_digest(md5: Md5) -> [u8; 32] {
    let mut text = [0; 32];
    // Sixteen bytes are 32 digits: the lengths always fit.
    let _ = hex::encode_to_slice(md5.finalize(), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published vector `poster-data-json-string`: PHP, Python and Node agree on its md5.
    const VECTOR: &str = r#"{"account":"demo-cafe","object":"stock","object_id":512,"action":"changed","time":"1767168200","verify":"20a93274e4388af22e018a34f31635b1","account_number":"401122","data":"{\"type\":2,\"element_id\":512,\"storage_id\":1,\"value_relative\":-1,\"value_absolute\":23.5}"}"#;

    #[test]
    fn sends_what_poster_sends() {
        let mut sender = Sender::new("127.0.0.1:1");
        let request = String::from_utf8(sender.request(512, 1_767_168_200).to_vec()).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, VECTOR);
        assert!(head.starts_with("POST /in/cafe HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", VECTOR.len())), "{head}");
    }

    #[test]
    fn the_check_takes_the_vector_and_nothing_near_it() {
        assert!(is_authentic(VECTOR.as_bytes()));
        for (true_part, false_part) in [("512,\"action", "513,\"action"), ("-1,", "-2,"), ("20a9", "20a8")] {
            assert!(!is_authentic(VECTOR.replace(true_part, false_part).as_bytes()), "{false_part}");
        }
        assert!(!is_authentic(b"{}"));
    }

    #[test]
    fn bodies_are_about_250_bytes_and_differ() {
        let mut sender = Sender::new("127.0.0.1:1");
        let one = sender.request(1_000_000_000, 1_767_168_200).to_vec();
        let other = sender.request(1_000_000_001, 1_767_168_200).to_vec();
        assert_ne!(one, other);
        assert!((240..300).contains(&sender.body.len()), "{} bytes", sender.body.len());
    }
}
