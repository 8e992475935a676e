//! A configuration becomes a receiver.

#[cfg(feature = "redis")]
use super::RedisStreamConfig;
use super::{Config, HttpTargetConfig, QueueConfig, TargetConfig};
#[cfg(feature = "redis")]
use crate::target::RedisStreamTarget;
use crate::{
    ingress::Limits,
    provider::{Mask, Secrets},
    receiver::{Builder, Queue, Receiver},
    target::{ExecTarget, HttpOptions, LogTarget, Rate, Target, TargetError},
};

impl Config {
    /// A receiver's builder with all that the configuration says; `token` opens the admin API.
    ///
    /// ```
    /// use doorbell::config::Config;
    ///
    /// let text = r#"
    ///     [[source]]
    ///     name = "cafe"
    ///     provider = "poster"
    ///     secret = "${POSTER_SECRET}"
    /// "#;
    /// let config = Config::parse(text, |name| std::env::var(name).ok().or(Some("made up".into())), |path| std::fs::read_to_string(path))?;
    /// // What the file says, and more than it can say.
    /// let builder = config.builder("an admin token")?.on("cafe", "stock.*", async || -> Result<(), doorbell::HandlerError> { Ok(()) });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A target that can't be made of what the configuration says, with its route's name.
    pub fn builder(&self, token: impl Into<Secrets>) -> Result<Builder<()>, RouteError> {
        let (ingress, journal) = (&self.ingress, &self.journal);
        let limits = Limits {
            header_time: ingress.header_timeout,
            header_bytes: ingress.header_limit,
            body_time: ingress.body_timeout,
            body_bytes: ingress.body_limit,
            keep_alive: ingress.keep_alive,
            connections: ingress.max_connections,
            ..Limits::default()
        };
        let masked = self.sources.iter().flat_map(|source| &source.mask).chain(&self.mask);
        let mask = Mask::new(super::ALWAYS_MASKED.into_iter().chain(masked.map(String::as_str)));
        let mut builder = Receiver::builder::<()>()
            .data_dir(&journal.dir)
            .listen(ingress.listen)
            .admin(self.admin.listen, token)
            .limits(limits)
            .shutdown_times(ingress.drain, ingress.shutdown_grace)
            .retention(journal.retention, journal.retention_failed)
            .max_size(journal.max_size)
            .queue(self.queue())
            .concurrency(self.worker.concurrency)
            .max_crashes(self.worker.max_crashes)
            .mask(mask);
        for source in &self.sources {
            builder = builder.source(&source.name, source.source.clone());
        }
        for route in &self.routes {
            let target = target(&route.target)
                .map_err(|source| RouteError { route: route.route.name.clone(), source })?;
            builder = builder.target(route.route.clone(), target);
        }
        Ok(builder)
    }

    fn queue(&self) -> Queue {
        match &self.queue {
            QueueConfig::Embedded => Queue::Embedded,
            #[cfg(feature = "redis")]
            QueueConfig::Redis(redis) => redis.clone().keep(self.journal.keep).into(),
        }
    }
}

/// A route's target can't be made.
#[derive(Debug, thiserror::Error)]
#[error("[[route]] {route:?}: {source}")]
pub struct RouteError {
    route: String,
    source: TargetError,
}

fn target(config: &TargetConfig) -> Result<Target, TargetError> {
    Ok(match config {
        TargetConfig::Http(http) => Target::http(&http.url, options(http)?)?,
        TargetConfig::Exec { command, concurrency } => {
            let target = ExecTarget::new(command)?;
            match concurrency {
                Some(limit) => target.concurrency(*limit).into(),
                None => target.into(),
            }
        }
        #[cfg(feature = "redis")]
        TargetConfig::RedisStream(stream) => redis_stream(stream)?.into(),
        TargetConfig::Log => LogTarget.into(),
    })
}

#[cfg(feature = "redis")]
fn redis_stream(config: &RedisStreamConfig) -> Result<RedisStreamTarget, TargetError> {
    let mut target = RedisStreamTarget::new(config.stream.as_str())?;
    if let Some(address) = &config.address {
        target = target.at(address.clone());
    }
    if let Some(entries) = config.max_length {
        target = target.max_length(entries);
    }
    if let Some(age) = config.max_age {
        target = target.max_age(age);
    }
    if let Some(limit) = config.concurrency {
        target = target.concurrency(limit);
    }
    Ok(target)
}

fn options(http: &HttpTargetConfig) -> Result<HttpOptions, TargetError> {
    let mut options = HttpOptions { secrets: http.secrets.clone(), ..HttpOptions::default() };
    if let Some(concurrency) = http.concurrency {
        options.concurrency = concurrency;
    }
    options.rate = http.rate.map(|rate| Rate::per_second(rate.per_second())).transpose()?;
    Ok(options)
}
