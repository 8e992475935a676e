//! `doorbell send`: plays a vendor, and shows what becomes of what it sent.

mod habits;
mod post;
mod recipient;
mod timeline;
mod watch;

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use http::StatusCode;
use reqwest::Url;
use uuid::Uuid;

use self::{
    habits::Habits,
    post::{Came, Post, Reply},
    recipient::{Content, Message, Recipient},
    timeline::{Step, Timeline},
    watch::Watch,
};
use super::{ApiError, FAILED, Failure, Global, verify};
use crate::{
    clock::{self, Clock, SystemClock},
    config::ProviderKind,
    testing::{Sample, SignError},
};

/// What `doorbell send` takes.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(super) struct SendArgs {
    /// The sender to play: kladana, quable, poster, shareactor, github, stripe, shopify, slack, svix or
    /// standard-webhooks
    #[arg(value_parser = verify::provider)]
    provider: ProviderKind,
    /// The source to send to, where the configuration has several of this provider
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Send to this URL instead: any receiver, here or elsewhere
    #[arg(long, value_name = "URL", value_parser = http_url)]
    to: Option<Url>,
    /// Sign with this secret (for quable: the Authorization value) [default: the source's]
    #[arg(long, env = "DOORBELL_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// What to send [default: the provider's first sample]
    #[arg(long, value_name = "NAME", conflicts_with = "body")]
    sample: Option<Sample>,
    /// Send this file's content, signed as the sender would; - is the standard input
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// How many different deliveries to send, one after the other
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Send each of them once more, as if the sender had not seen the reply
    #[arg(long)]
    duplicate: bool,
    /// Send the sender's own test (poster and shareactor have one)
    #[arg(long, conflicts_with_all = ["sample", "body"])]
    test: bool,
    /// Do not try again after a failure
    #[arg(long)]
    no_retry: bool,
    /// Wait no longer than 200 ms between tries, where the sender waits for minutes or hours
    #[arg(long)]
    fast: bool,
    /// Do not wait until the jobs have ended
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until the jobs have ended
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// The longest pause between tries with `--fast`.
const FAST: Duration = Duration::from_millis(200);

pub(super) async fn run(args: SendArgs, global: &Global) -> Result<ExitCode, Failure> {
    let content = content(&args)?;
    let recipient = Recipient::find(&args, global)?;
    let mut sending = Sending {
        habits: Habits::of(args.provider),
        post: Post::new()?,
        watch: Watch::start(global).await,
        timeline: Timeline { json: global.json, number: 0 },
        seen: Vec::new(),
        acknowledged: 0,
        handled: 0,
        recipient,
        args,
    };
    sending.all(&content).await
}

struct Sending {
    args: SendArgs,
    recipient: Recipient,
    habits: Habits,
    post: Post,
    /// Or why nothing can be seen.
    watch: Result<Watch, String>,
    timeline: Timeline,
    /// The deliveries that the receiver has made of what was sent.
    seen: Vec<Uuid>,
    acknowledged: u32,
    handled: u32,
}

/// How sending ended, in the vendor's eyes.
enum End {
    Acknowledged(Option<Uuid>),
    GivenUp,
}

impl Sending {
    async fn all(&mut self, content: &Content) -> Result<ExitCode, Failure> {
        let times = if self.args.duplicate { 2 } else { 1 };
        for _ in 0..self.args.count {
            let unique = unique()?;
            let message = self.recipient.message(content, unique, SystemClock.now()).map_err(wrong)?;
            for _ in 0..times {
                if self.timeline.number > 0 {
                    self.timeline.gap()?;
                }
                self.timeline.number += 1;
                self.one(&message).await?;
            }
        }
        let sent = self.timeline.number;
        if sent > 1 {
            self.timeline.gap()?;
            let (acknowledged, handled) = (self.acknowledged, self.handled);
            self.timeline.step(&Step::Summary { sent, acknowledged, handled })?;
        }
        let right = self.acknowledged == sent && (self.args.no_wait || self.handled == sent);
        Ok(if right { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
    }

    /// Sends one message until the vendor is content or gives up, and follows what becomes of it.
    async fn one(&mut self, message: &Message) -> Result<(), Failure> {
        let End::Acknowledged(delivery) = self.tries(message).await? else { return Ok(()) };
        self.acknowledged += 1;
        if self.args.no_wait {
            return Ok(());
        }
        let handled = match (delivery, &mut self.watch) {
            // Some other receiver: the reply is all that there is to see.
            (None, _) => true,
            (Some(delivery), Ok(watch)) => {
                let until = clock::instant() + self.args.timeout;
                match watch.follow(delivery, until, &self.timeline).await {
                    Err(ApiError::Problem { status: 404, .. }) => {
                        let why = "the admin API that was asked knows no such delivery; --url names the receiver's own";
                        self.timeline.step(&Step::Unwatched { why: why.to_owned() })?;
                        false
                    }
                    followed => followed?,
                }
            }
            (Some(_), Err(why)) => {
                self.timeline.step(&Step::Unwatched { why: format!("{why} (--no-wait does without)") })?;
                false
            }
        };
        self.handled += u32::from(handled);
        Ok(())
    }

    async fn tries(&mut self, message: &Message) -> Result<End, Failure> {
        let pauses = if self.args.no_retry { Vec::new() } else { self.habits.pauses.clone() };
        let of = pauses.len() + 1;
        let mut pauses = pauses.into_iter();
        for attempt in 1.. {
            let request = self.recipient.sign(message, SystemClock.now()).map_err(wrong)?;
            let body = request.body.clone();
            let to = self.recipient.shown_url();
            self.timeline.step(&Step::Sent { to: &to, bytes: body.len(), attempt, of })?;
            let reply = self.post.send(&self.recipient.url, request, self.habits.deadline).await;
            let failed_late = matches!(reply.came, Came::Late);
            if let Some(end) = self.read(reply, &body).await? {
                return Ok(end);
            }
            let Some(pause) = pauses.next().filter(|_| !failed_late || self.habits.retries_after_timeout)
            else {
                break;
            };
            let really = if self.args.fast { pause.min(FAST) } else { pause };
            self.timeline.step(&Step::Waiting {
                seconds: pause.as_secs_f64(),
                really_seconds: really.as_secs_f64(),
                attempt: attempt + 1,
                of,
            })?;
            tokio::time::sleep(really).await;
        }
        let why =
            if self.args.no_retry { "no further try, because of --no-retry" } else { self.habits.gives_up };
        self.timeline.step(&Step::GivenUp { why })?;
        Ok(End::GivenUp)
    }

    /// Tells what a reply means, to the receiver and to the vendor. `None`: the vendor is not content.
    async fn read(&mut self, reply: Reply, body: &[u8]) -> Result<Option<End>, Failure> {
        let ms = reply.took.into();
        let failed = |status, why: &str| Step::NotAcknowledged { status, ms, why: why.to_owned() };
        let deadline_ms = self.habits.deadline.into();
        match reply.came {
            Came::Late => self.timeline.step(&failed(None, "no reply within the sender's deadline"))?,
            Came::Nothing { why } => self.timeline.step(&failed(None, &why))?,
            Came::Reply { status, body: answer, delivery } => {
                match delivery {
                    Some(delivery) => self.tell_stored(delivery).await?,
                    None if !status.is_success() => self.tell_refused(status, body).await?,
                    None => {}
                }
                let status_code = status.as_u16();
                match self.habits.objection(status, &answer) {
                    None => {
                        self.timeline.step(&Step::Acknowledged { status: status_code, ms, deadline_ms })?;
                        return Ok(Some(End::Acknowledged(delivery)));
                    }
                    Some(why) => self.timeline.step(&failed(Some(status_code), why))?,
                }
            }
        }
        Ok(None)
    }

    /// Whoever names a delivery in the reply has verified it, has looked whether it was there, and has it on disk.
    async fn tell_stored(&mut self, delivery: Uuid) -> Result<(), Failure> {
        let outcome = match &mut self.watch {
            Ok(watch) => watch.outcome(delivery).await,
            Err(_) => None,
        };
        let known = self.seen.contains(&delivery);
        let (outcome, kinds) = match outcome {
            Some((outcome, kinds)) => (Some(outcome), kinds),
            None => (known.then(|| "duplicate".to_owned()), Vec::new()),
        };
        if !known {
            self.seen.push(delivery);
        }
        let shown = outcome.as_deref().unwrap_or("stored");
        self.timeline.step(&Step::Verified { outcome: shown, kinds })?;
        if let Some(outcome) = &outcome {
            let duplicate = outcome == "duplicate";
            self.timeline.step(&Step::Deduped { duplicate, original: duplicate.then_some(delivery) })?;
        }
        self.timeline.step(&Step::Durable { delivery })?;
        Ok(())
    }

    async fn tell_refused(&mut self, status: StatusCode, body: &[u8]) -> Result<(), Failure> {
        let Ok(watch) = &self.watch else { return Ok(()) };
        if let Some((reason, detail)) = watch.refusal(self.recipient.source.as_deref(), status, body).await {
            self.timeline.step(&Step::Refused { reason, detail })?;
        }
        Ok(())
    }
}

fn content(args: &SendArgs) -> Result<Content, Failure> {
    let provider = args.provider;
    if let Some(file) = &args.body {
        return Ok(Content::Body(read(file)?));
    }
    let of_provider = |sample: &Sample| crate::testing::Sender::of(provider.name()) == Some(sample.sender());
    let mut samples = Sample::ALL.iter().copied().filter(of_provider);
    let sample = match (args.sample, args.test) {
        (Some(sample), _) if of_provider(&sample) => Some(sample),
        (Some(sample), _) => {
            let names: Vec<_> = samples.map(Sample::name).collect();
            let text = format!(
                "{} does not send the sample {sample}; it sends {}",
                provider.name(),
                names.join(", ")
            );
            return Err(Failure::Usage(text));
        }
        (None, true) => {
            samples.find(|sample| matches!(sample, Sample::PosterTest | Sample::ShareactorVerify))
        }
        (None, false) => samples.next(),
    };
    sample.map(Content::Sample).ok_or_else(|| {
        let text = if args.test {
            format!("{} has no test of its own; poster and shareactor have", provider.name())
        } else {
            format!("there is no sample of {}; name another sender", provider.name())
        };
        Failure::Usage(text)
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = if file == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body).map(|_| body)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| Failure::Failed(format!("--body: {} can't be read: {error}", file.display())))
}

/// A new delivery's number.
fn unique() -> Result<u128, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Failed(format!("no random bytes can be had: {error}")))?;
    Ok(u128::from_le_bytes(bytes))
}

fn wrong(error: SignError) -> Failure {
    Failure::Usage(match error {
        SignError::NoSecret => "this sender signs its requests: give the secret with --secret".to_owned(),
        other => other.to_string(),
    })
}

fn http_url(text: &str) -> Result<Url, String> {
    let url: Url = text
        .parse()
        .map_err(|error| format!("{error}; a URL like https://hooks.example.com/in/shop expected"))?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err("a URL that begins with http:// or https:// expected".to_owned())
    }
}
