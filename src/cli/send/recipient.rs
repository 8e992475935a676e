//! To whom a request goes, and what proves it.

use reqwest::Url;

use super::SendArgs;
use crate::{
    cli::{Failure, Global, connect::callable},
    clock::Timestamp,
    config::{Config, ProviderKind, ProviderSettings, SourceConfig},
    provider::Secret,
    testing::{self, Sample, Sender, SignError, SignedRequest},
};

/// To whom a request goes, and what proves it.
#[derive(Debug)]
pub(super) struct Recipient {
    /// The source's name, where the configuration has it.
    pub(super) source: Option<String>,
    /// The whole URL, a secret in its path included: never shown.
    pub(super) url: Url,
    sender: Sender,
    secret: Option<Secret>,
    /// The source's own way of signing, where it has one.
    settings: Option<ProviderSettings>,
}

/// What is sent, and sent again: the same id and body, signed anew for each try.
#[derive(Debug)]
pub(super) struct Message {
    body: Vec<u8>,
    unique: u128,
    signed: bool,
}

impl Recipient {
    /// The source that the arguments mean: one of the configuration, or with `--to` and `--secret` any other receiver.
    pub(super) fn find(args: &SendArgs, global: &Global) -> Result<Self, Failure> {
        let kind = args.provider;
        let Some(sender) = Sender::of(kind.name()) else {
            let text =
                format!("there are no samples of {}; name one of the senders that are known", kind.name());
            return Err(Failure::Usage(text));
        };
        let given = args.secret.as_deref().map(Secret::from);
        if let (Some(to), true) = (&args.to, args.source.is_none()) {
            if given.is_some() {
                return Ok(Self { source: None, url: to.clone(), sender, secret: given, settings: None });
            }
            // Without a secret of its own, the configured source's is tried.
            return match configured(args, global) {
                Ok((_, source)) => Ok(Self::of(&source, to.clone(), sender, None)),
                Err(_) if !kind.signs() => {
                    Ok(Self { source: None, url: to.clone(), sender, secret: None, settings: None })
                }
                Err(Failure::Usage(why) | Failure::Failed(why)) => {
                    let mend = "give the secret with --secret or DOORBELL_SECRET";
                    Err(Failure::Usage(format!("{} signs its requests: {mend}, because {why}", kind.name())))
                }
                Err(other) => Err(other),
            };
        }
        let (config, source) = configured(args, global)?;
        let url = match &args.to {
            Some(to) => to.clone(),
            None => local_url(&config, &source)?,
        };
        Ok(Self::of(&source, url, sender, given))
    }

    fn of(source: &SourceConfig, url: Url, sender: Sender, given: Option<Secret>) -> Self {
        let settings = &source.settings;
        let own =
            if settings.kind == ProviderKind::Quable { &settings.authorization } else { &settings.secrets };
        Self {
            source: Some(source.name.clone()),
            url,
            sender,
            secret: given.or_else(|| own.iter().next().cloned()),
            settings: Some(settings.clone()),
        }
    }

    /// The URL as it may be shown: what stands behind the source's name may be a secret, and so may a query.
    pub(super) fn shown_url(&self) -> String {
        let mut url = self.url.clone();
        // Only a URL that has no host can't change its user; http ones have.
        let _ = (url.set_username(""), url.set_password(None));
        url.set_query(None);
        url.set_fragment(None);
        let segments: Vec<_> = self.url.path_segments().into_iter().flatten().collect();
        if segments.len() > 2 {
            url.set_path(&segments[..2].join("/"));
            return format!("{url}/…");
        }
        url.into()
    }

    /// A message to send: a sample, or a body of one's own.
    pub(super) fn message(
        &self,
        content: &Content,
        unique: u128,
        now: Timestamp,
    ) -> Result<Message, SignError> {
        Ok(match content {
            Content::Sample(sample) => {
                let signed = *sample != Sample::ShareactorVerify;
                // Poster's proof is a part of the body, which `sign` replaces.
                let body = sample.request(self.secret.as_ref(), now, unique)?.body;
                Message { body, unique, signed }
            }
            Content::Body(body) => Message { body: body.clone(), unique, signed: true },
        })
    }

    /// The message as the vendor sends it now.
    pub(super) fn sign(&self, message: &Message, now: Timestamp) -> Result<SignedRequest, SignError> {
        let secret = self.secret.as_ref().filter(|_| message.signed);
        match (&self.settings, secret) {
            (Some(settings), Some(secret)) => {
                testing::sign(&*settings.signing_with(secret)?, now, message.unique, message.body.clone())
            }
            _ => self.sender.sign(secret, now, message.unique, message.body.clone()),
        }
    }
}

/// What is in a message.
#[derive(Debug)]
pub(super) enum Content {
    Sample(Sample),
    Body(Vec<u8>),
}

/// The configuration, and the source in it that is meant.
fn configured(args: &SendArgs, global: &Global) -> Result<(Config, SourceConfig), Failure> {
    let loaded = global.preview()?;
    let config = loaded.config;
    if loaded.file.is_none() && !Config::secrets_file(&config.journal.dir).exists() {
        let text = "there is neither a configuration file nor a service that has made its own: start `doorbell serve` \
                    here first, or name the file with --config";
        return Err(Failure::Failed(text.to_owned()));
    }
    let fits = |source: &&SourceConfig| {
        source.settings.kind == args.provider && args.source.as_ref().is_none_or(|name| *name == source.name)
    };
    let names = |sources: &mut dyn Iterator<Item = &SourceConfig>| {
        sources
            .map(|source| format!("{} ({})", source.name, source.settings.kind.name()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found: Vec<_> = config.sources.iter().filter(fits).collect();
    let provider = args.provider.name();
    match found.as_slice() {
        [one] => Ok((config.clone(), (*one).clone())),
        [] => {
            let wanted = match &args.source {
                Some(name) => format!("no source {name:?} of provider {provider}"),
                None => format!("no source of provider {provider}"),
            };
            let known = names(&mut config.sources.iter());
            Err(Failure::Usage(format!(
                "the configuration has {wanted}, only: {known}; add one, or name any other receiver with --to"
            )))
        }
        several => {
            let names = names(&mut several.iter().copied());
            Err(Failure::Usage(format!(
                "there are several sources of provider {provider}: {names}; name one by --source"
            )))
        }
    }
}

/// Where the service on this machine takes the source's deliveries, whatever its public URL is.
fn local_url(config: &Config, source: &SourceConfig) -> Result<Url, Failure> {
    let base = format!("http://{}", callable(config.ingress.listen));
    source
        .url(&base)
        .parse()
        .map_err(|error| Failure::Usage(format!("the source {:?} has no usable URL: {error}", source.name)))
}
