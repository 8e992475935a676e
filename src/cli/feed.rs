//! Server-sent events, read from a response as they come.

use std::collections::VecDeque;

use serde_json::Value;

use super::client::{ApiError, unreachable};

/// What happens in a service, as it happens.
#[derive(Debug)]
pub(crate) struct Feed {
    url: reqwest::Url,
    response: reqwest::Response,
    decoder: Decoder,
    ready: VecDeque<Value>,
}

impl Feed {
    pub(super) fn new(url: reqwest::Url, response: reqwest::Response) -> Self {
        Self { url, response, decoder: Decoder::default(), ready: VecDeque::new() }
    }

    /// The next event's data; `None` when the service has ended the feed.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, ApiError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let chunk = self.response.chunk().await.map_err(|error| unreachable(&self.url, &error))?;
            let Some(chunk) = chunk else { return Ok(None) };
            for data in self.decoder.push(&chunk) {
                let event = serde_json::from_str(&data).map_err(|error| ApiError::Foreign {
                    url: self.url.to_string(),
                    why: format!("an event is no JSON: {error}"),
                })?;
                self.ready.push_back(event);
            }
        }
    }
}

/// Puts lines together into events. Only their data counts here: it says itself what it is.
#[derive(Debug, Default)]
struct Decoder {
    line: Vec<u8>,
    data: String,
}

impl Decoder {
    /// The data of the events that these bytes complete.
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut complete = Vec::new();
        for &byte in bytes {
            match byte {
                b'\n' => {
                    if self.line.is_empty() && !self.data.is_empty() {
                        complete.push(std::mem::take(&mut self.data));
                    } else if let Some(data) = self.line.strip_prefix(b"data:") {
                        if !self.data.is_empty() {
                            self.data.push('\n');
                        }
                        self.data.push_str(&String::from_utf8_lossy(data.strip_prefix(b" ").unwrap_or(data)));
                    }
                    self.line.clear();
                }
                b'\r' => {}
                other => self.line.push(other),
            }
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let stream =
            ": hello\n\nevent: delivery\ndata: {\"ä\":1}\n\nevent: two\r\ndata:a\r\ndata: b\r\n\r\ndata: cut";
        for size in 1..stream.len() {
            let mut decoder = Decoder::default();
            let events: Vec<_> =
                stream.as_bytes().chunks(size).flat_map(|chunk| decoder.push(chunk)).collect();
            assert_eq!(events, ["{\"ä\":1}", "a\nb"], "in pieces of {size}");
        }
    }
}
