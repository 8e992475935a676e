//! How a vendor behaves when it sends: how long it waits, what it takes for success, and how it tries again.

use std::time::Duration;

use http::StatusCode;

use crate::config::ProviderKind;

/// How a vendor behaves.
#[derive(Debug)]
pub(super) struct Habits {
    /// How long it waits for the reply, connecting included.
    pub(super) deadline: Duration,
    /// How long it waits before each further try.
    pub(super) pauses: Vec<Duration>,
    /// Whether it tries again after its deadline has passed without a reply.
    pub(super) retries_after_timeout: bool,
    /// What it does when every try has failed.
    pub(super) gives_up: &'static str,
    success: Success,
}

/// What a vendor takes for success.
#[derive(Debug)]
enum Success {
    /// Any 2xx.
    Any2xx,
    /// 200 or 204 only.
    Only200And204,
    /// 200 with `{"status":"accept"}`.
    Accept,
}

impl Habits {
    /// Documented ones where there are documents (see the comments), else the most patient reading of them.
    pub(super) fn of(kind: ProviderKind) -> Self {
        let known = |pauses: &[Duration], gives_up| Self {
            deadline: known_deadline(kind),
            pauses: pauses.to_vec(),
            retries_after_timeout: true,
            gives_up,
            success: Success::Any2xx,
        };
        match kind {
            ProviderKind::Kladana => Self {
                retries_after_timeout: false,
                success: Success::Only200And204,
                ..known(&[Duration::ZERO; 3], "the event is gone for good")
            },
            ProviderKind::Quable => known(
                &[minutes(5); 2],
                "it was the third failure in a row: the webhook is switched off until a person switches it on again",
            ),
            // 15 more tries over two days; how they are spread is not documented.
            ProviderKind::Poster => Self {
                success: Success::Accept,
                ..known(&[minutes(2 * 24 * 60 / 15); 15], "the notification is given up")
            },
            ProviderKind::Stripe => known(&hours([1, 2, 4, 8, 16, 24]), "the event is given up after 3 days"),
            ProviderKind::Shopify => known(
                &[minutes(30); 8],
                "all tries failed: the subscription is removed and must be made again",
            ),
            ProviderKind::Slack => known(&[Duration::ZERO, minutes(1), minutes(5)], "the event is given up"),
            // The schedule that Svix has and that Standard Webhooks recommends.
            ProviderKind::Svix | ProviderKind::StandardWebhooks => {
                let first = [Duration::from_secs(5), minutes(5), minutes(30)];
                let pauses: Vec<_> = first.into_iter().chain(hours([2, 5, 10, 10])).collect();
                known(&pauses, "the message is given up; after days of failures the endpoint is switched off")
            }
            ProviderKind::Github => {
                known(&[], "it does not try again; a person can have the delivery sent again for 3 days")
            }
            ProviderKind::Shareactor | ProviderKind::Hmac => {
                known(&[], "no further tries are documented: take the event for lost")
            }
        }
    }

    /// Why this reply is a failure in the vendor's eyes; `None`: it is success.
    pub(super) fn objection(&self, status: StatusCode, body: &[u8]) -> Option<&'static str> {
        match self.success {
            Success::Any2xx if status.is_success() => None,
            Success::Any2xx => Some("any 2xx expected"),
            Success::Only200And204 if matches!(status.as_u16(), 200 | 204) => None,
            Success::Only200And204 => Some("200 or 204 expected"),
            Success::Accept if status == StatusCode::OK && says_accept(body) => None,
            Success::Accept => Some("200 with {\"status\":\"accept\"} expected"),
        }
    }
}

/// As documented; where nothing is, what a source of the kind is configured for.
fn known_deadline(kind: ProviderKind) -> Duration {
    match kind {
        ProviderKind::Kladana | ProviderKind::Poster => Duration::from_millis(1500),
        ProviderKind::Slack => Duration::from_secs(3),
        ProviderKind::Github => Duration::from_secs(10),
        _ => Duration::from_secs(5),
    }
}

fn says_accept(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|body| body["status"] == "accept")
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn hours<const N: usize>(hours: [u64; N]) -> [Duration; N] {
    hours.map(|hours| minutes(60 * hours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_judged_as_the_vendor_does() {
        let judge = |kind, status: u16, body: &[u8]| {
            Habits::of(kind).objection(StatusCode::from_u16(status).unwrap(), body).is_none()
        };
        let accept = br#"{"status":"accept"}"#;
        for (kind, right, wrong) in [
            (ProviderKind::Kladana, [(200, &b"x"[..]), (204, b"")], [(202, &b""[..]), (201, accept)]),
            (
                ProviderKind::Poster,
                [(200, accept), (200, b"{ \"status\": \"accept\" }")],
                [(204, b""), (200, b"ok")],
            ),
            (ProviderKind::Quable, [(202, b""), (204, b"")], [(302, b""), (500, accept)]),
            (ProviderKind::Github, [(200, b""), (299, b"")], [(401, b""), (199, b"")]),
        ] {
            assert!(right.iter().all(|&(status, body)| judge(kind, status, body)), "{kind:?}");
            assert!(!wrong.iter().any(|&(status, body)| judge(kind, status, body)), "{kind:?}");
        }
    }

    #[test]
    fn documented_tries() {
        let tries = |kind| {
            let habits = Habits::of(kind);
            (habits.pauses.len() + 1, habits.pauses.iter().sum(), habits.deadline)
        };
        assert_eq!(tries(ProviderKind::Kladana), (4, Duration::ZERO, Duration::from_millis(1500)));
        assert_eq!(tries(ProviderKind::Quable), (3, minutes(10), Duration::from_secs(5)));
        assert_eq!(tries(ProviderKind::Poster), (16, minutes(48 * 60), Duration::from_millis(1500)));
        assert_eq!(tries(ProviderKind::Shopify), (9, minutes(4 * 60), Duration::from_secs(5)));
        assert!(!Habits::of(ProviderKind::Kladana).retries_after_timeout);
    }
}
