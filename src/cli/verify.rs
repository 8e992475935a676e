//! `doorbell verify`.

use std::{
    fmt,
    io::{self, Read},
    sync::Arc,
};

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::{
    FAILED, Failure, Global,
    print::{self, harmless},
};
use crate::{
    clock::{Clock as _, SystemClock, Timestamp},
    config::{ProviderKind, ProviderSettings},
    provider::{Provider, Request, Verdict},
};

/// What `doorbell verify` takes.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The kind of sender: kladana, quable, poster, shareactor, github, stripe, shopify, slack, svix or
    /// standard-webhooks
    #[arg(value_parser = provider, required_unless_present = "source", conflicts_with = "source")]
    provider: Option<ProviderKind>,
    /// Take provider and secrets from this source of the configuration
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The secret (for quable: the Authorization value); several while one is rotated out
    #[arg(long, env = "DOORBELL_SECRET", hide_env_values = true)]
    secret: Vec<String>,
    /// A header of the request, such as 'Content-Type: application/json'
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The query string, without its question mark
    #[arg(long)]
    query: Option<String>,
    /// Say that the URL held the right path secret
    #[arg(long)]
    path_secret_matched: bool,
    /// When the request came in, as RFC 3339 has it [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Timestamp>,
}

pub(super) fn run(args: &VerifyArgs, global: &Global) -> Result<(), Failure> {
    let provider = chosen(args, global)?;
    let mut headers = HeaderMap::new();
    for text in &args.header {
        let (name, value) = header(text).map_err(|wrong| Failure::Usage(format!("--header: {wrong}")))?;
        headers.append(name, value);
    }
    let mut body = Vec::new();
    io::stdin().read_to_end(&mut body).map_err(|error| {
        Failure::Failed(format!("the body can't be read from the standard input: {error}"))
    })?;
    let body = Bytes::from(body);
    let request = Request {
        query: args.query.as_deref(),
        path_secret_matched: args.path_secret_matched,
        ..Request::new(&headers, &body)
    };
    let answer = Answer::of(&*provider, &request, &body, args.now.unwrap_or_else(|| SystemClock.now()));
    print::value(global.json, &answer)?;
    if matches!(answer, Answer::Refused { .. }) { Err(Failure::Reported(FAILED)) } else { Ok(()) }
}

fn chosen(args: &VerifyArgs, global: &Global) -> Result<Arc<dyn Provider>, Failure> {
    if let Some(name) = &args.source {
        let config = global.load()?.config;
        return match config.sources.into_iter().find(|source| source.name == *name) {
            Some(source) => Ok(source.source.provider),
            None => Err(Failure::Usage(format!("the configuration has no source {name:?}"))),
        };
    }
    let Some(kind) = args.provider else {
        return Err(Failure::Usage("name a provider, or a source with --source".to_owned()));
    };
    if kind == ProviderKind::Hmac {
        let mend = "describe it in a configuration file and name that source with --source";
        return Err(Failure::Usage(format!("hmac needs to know how its sender signs; {mend}")));
    }
    if args.secret.iter().any(String::is_empty) {
        let mend = "give the one that the sender signs with, or leave it out";
        return Err(Failure::Usage(format!("--secret (or DOORBELL_SECRET) is empty; {mend}")));
    }
    let mut settings = ProviderSettings::new(kind);
    match kind {
        ProviderKind::Kladana if !args.secret.is_empty() => {
            let mend = "say --path-secret-matched if the URL held the right secret";
            return Err(Failure::Usage(format!("Kladana signs nothing, so --secret has no meaning; {mend}")));
        }
        ProviderKind::Quable => settings.authorization = args.secret.clone().into(),
        _ => settings.secrets = args.secret.clone().into(),
    }
    let path_secret_suffices = kind == ProviderKind::Shareactor && args.path_secret_matched;
    if kind.signs() && settings.secrets.is_empty() && !path_secret_suffices {
        return Err(Failure::Usage(format!("{} signs: give the secret with --secret", kind.name())));
    }
    settings.source().map(|source| source.provider).map_err(|error| Failure::Usage(error.to_string()))
}

/// What a request turned out to be.
#[derive(Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
enum Answer {
    Accepted {
        #[serde(skip_serializing_if = "Option::is_none")]
        sender_id: Option<String>,
        events: Vec<Event>,
    },
    Test,
    Quarantined {
        reason: String,
    },
    Refused {
        /// A short stable name: `wrong_proof`.
        reason: &'static str,
        /// The same in a sentence.
        detail: String,
    },
}

#[derive(Debug, Serialize)]
struct Event {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<Timestamp>,
    /// How large its data is, in bytes.
    size: usize,
}

impl Answer {
    fn of(provider: &dyn Provider, request: &Request<'_>, body: &Bytes, now: Timestamp) -> Self {
        match provider.verify(request, now) {
            Ok(Verdict::Accept { sender_id, events }) => Self::Accepted {
                sender_id: sender_id.map(|id| id.value),
                events: events
                    .into_iter()
                    .map(|event| Event {
                        size: event.data.of(body).len(),
                        kind: event.kind,
                        subject: event.subject,
                        occurred_at: event.occurred_at,
                    })
                    .collect(),
            },
            Ok(Verdict::Test) => Self::Test,
            Ok(Verdict::Quarantine(unparsable)) => Self::Quarantined { reason: unparsable.reason },
            Err(refusal) => Self::Refused { reason: refusal.reason(), detail: refusal.to_string() },
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { sender_id, events } => {
                write!(f, "accepted: its origin is proved")?;
                match sender_id {
                    Some(id) => write!(f, ", its sender's id is {}", harmless(id))?,
                    None => write!(f, ", it has no id of its sender's")?,
                }
                for Event { kind, subject, occurred_at, size } in events {
                    write!(f, "\n- {}", harmless(kind))?;
                    if let Some(subject) = subject {
                        write!(f, " about {}", harmless(subject))?;
                    }
                    if let Some(at) = occurred_at {
                        write!(f, " at {at}")?;
                    }
                    write!(f, " ({size} bytes)")?;
                }
                Ok(())
            }
            Self::Test => f.write_str("test: answered with success, nothing to process"),
            Self::Quarantined { reason } => {
                write!(f, "quarantined: its origin is proved, but it can't be read: {}", harmless(reason))
            }
            Self::Refused { reason, detail } => write!(f, "refused ({reason}): {}", harmless(detail)),
        }
    }
}

pub(super) fn provider(name: &str) -> Result<ProviderKind, String> {
    ProviderKind::from_name(name).ok_or_else(|| {
        let known: Vec<_> = ProviderKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("known are {}", known.join(", "))
    })
}

/// Read here and not by clap, whose errors would show the value: it may be an `Authorization`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected a name, a colon and a value")?;
    let name = name.trim().parse().map_err(|_| format!("{:?} is no header's name", name.trim()))?;
    let mut value =
        HeaderValue::from_str(value.trim()).map_err(|_| format!("the value of {name} can't be sent"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| "expected a time such as 2026-01-23T09:48:17Z".to_owned())
}
