//! A target for trying things out: a line in the log.

use crate::handler::{Handler, HandlerError, Job};

/// Writes one line at level INFO about each job: what it is and how large, not its data. That may hold secrets, and
/// the admin listener shows it masked.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogTarget;

impl Handler for LogTarget {
    async fn handle(&self, job: Job) -> Result<(), HandlerError> {
        // What the sender wrote is printed quoted, so that it can't pretend to be a line of its own.
        tracing::info!(
            job = %job.id,
            event = %job.event_id,
            delivery = %job.delivery_id,
            route = %job.route,
            source = %job.source,
            provider = %job.provider,
            kind = ?job.kind,
            subject = job.subject.as_ref().map(tracing::field::debug),
            occurred_at = job.occurred_at.map(tracing::field::display),
            received_at = %job.received_at,
            bytes = job.data.len(),
            attempt = job.attempt.number,
            replay = job.attempt.replay,
            "event"
        );
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "cli")]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use futures_util::future::FutureExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_line_with_the_metadata_and_without_the_data() {
        // Where there is a single subscriber, a thread of another test, which has none, switches off for all what it meets
        // first.
        let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().json().with_writer(move || writer.clone()).with_ansi(false).finish();
        let mut job = Job::sample();
        job.subject = Some("stock/512\nforged line".into());
        let handled = tracing::subscriber::with_default(subscriber, || LogTarget.handle(job).now_or_never());
        assert!(matches!(handled, Some(Ok(()))));

        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains("object_id"), "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let fields = &line["fields"];
        assert_eq!(line["level"], "INFO");
        assert_eq!(fields["job"], Job::sample().id.to_string());
        assert_eq!(fields["kind"], "\"stock.changed\"");
        assert_eq!(fields["subject"], r#""stock/512\nforged line""#);
        assert_eq!(fields["bytes"], Job::sample().data.len());
        assert_eq!(fields["attempt"], 1);
    }
}
