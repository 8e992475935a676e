//! From what a builder was told to the parts of a receiver, put together.

#[cfg(feature = "admin")]
use std::collections::HashMap;
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

#[cfg(feature = "redis")]
use super::check::check_queue;
use super::{
    Background, BuildError, Builder, Queue, Receiver, Settings,
    builder::PendingRoute,
    check::{check_routes, check_sources},
    store, sweeper,
};
#[cfg(feature = "redis")]
use crate::journal::Streams;
use crate::{
    clock::Clock,
    delivery::IdGenerator,
    ingress::{Ingress, IngressContext, RefusedLog},
    live::Live,
    metrics::Metrics,
    route::Route,
    source::Source,
    target::{HttpClient, Means},
    worker::{Dispatcher, GivingBack, HandledRoute, Runner, WorkerHealth},
};

/// A receiver whose parts are put together, and nothing of which runs yet.
pub(crate) struct Assembled {
    settings: Settings,
    pub(crate) ingress: Ingress,
    pub(crate) live: Live,
    pub(crate) refused: Arc<RefusedLog>,
    draining: Arc<AtomicBool>,
    #[cfg(feature = "admin")]
    admin: axum::Router,
    pub(crate) runner: Arc<Runner>,
    health: Arc<WorkerHealth>,
    closing: store::Closing,
}

impl Builder<()> {
    /// Puts the parts together, opens the journal and starts the workers.
    pub(super) async fn start(self) -> Result<Receiver, BuildError> {
        let ids = IdGenerator::new().map_err(|error| BuildError::Random(error.to_string()))?;
        let means = means(&self.settings)?;
        Ok(self.assemble(ids, Some(&means)).await?.start())
    }

    /// Opens a journal of its own in this folder and starts nothing. Targets reach nobody. Equal runs get equal ids, and no sender's deadline
    /// is ever missed: a test does not depend on the machine's speed.
    pub(crate) async fn assemble_for_tests(
        mut self,
        data_dir: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> Result<(Assembled, Vec<(String, Source)>), BuildError> {
        const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
        for (_, source) in &mut self.sources {
            source.deadline = NEVER;
        }
        let sources = self.sources.clone();
        let settings = &mut self.settings;
        settings.data_dir = data_dir;
        settings.clock = clock;
        settings.queue = Queue::Embedded;
        (settings.takes_in, settings.runs_jobs) = (true, true);
        settings.limits.body_time = NEVER;
        // Nothing renews the leases, and a handler may move the clock.
        settings.lease = NEVER;
        Ok((self.assemble(IdGenerator::seeded(0), None).await?, sources))
    }

    /// Puts the parts together and opens the journal.
    async fn assemble(self, ids: IdGenerator, means: Option<&Means>) -> Result<Assembled, BuildError> {
        let Self { sources, routes, settings, misplaced } = self;
        if let Some(method) = misplaced {
            return Err(BuildError::NoRouteYet(method));
        }
        #[cfg(feature = "admin")]
        if let Some((address, _)) = settings.admin.as_ref().filter(|(_, tokens)| tokens.had_empty()) {
            return Err(BuildError::EmptyAdminToken(*address));
        }
        check_sources(&sources)?;
        check_routes(&sources, routes.iter().map(|pending| &pending.route))?;
        #[cfg(feature = "redis")]
        check_queue(&settings, &sources)?;
        let clock = settings.clock.clone();
        let routes = handled(routes, means)?;
        let plain_routes: Arc<[Route]> = routes.iter().map(|handled| handled.route.clone()).collect();
        let (metrics, live, refused) = (Metrics::new(), Live::new(), Arc::<RefusedLog>::default());
        // Boxed: what opens a store is deep, and would weigh on every future that a receiver is built in.
        let opened = Box::pin(store::open(&settings, &metrics, &live)).await?;
        ids.skip_past(opened.last_seq);
        let closing = opened.closing(&settings);
        #[cfg(feature = "admin")]
        let ask_redis = opened.ask_redis();
        let store = opened.store;
        let ingress = Ingress::new(IngressContext {
            takes_in: settings.takes_in,
            sources: sources.iter().map(|(name, source)| (name.as_str().into(), source.clone())).collect(),
            routes: plain_routes.clone(),
            store: store.clone(),
            ids: Arc::new(ids),
            metrics: metrics.clone(),
            live: live.clone(),
            refused: refused.clone(),
            clock: clock.clone(),
            limits: settings.limits.clone(),
            shutdown_grace: settings.shutdown_grace,
        });
        let health = Arc::new(WorkerHealth::default());
        let draining = Arc::new(AtomicBool::new(false));
        #[cfg(feature = "admin")]
        let admin = {
            let (health, works, mask) = (health.clone(), settings.runs_jobs, settings.mask.clone());
            crate::admin::router(crate::admin::AdminContext {
                store: store.clone(),
                sources: Arc::new(sources.into_iter().collect::<HashMap<_, _>>()),
                routes: plain_routes,
                metrics: metrics.clone(),
                refused: refused.clone(),
                live: live.clone(),
                clock: clock.clone(),
                workers: Arc::new(move || if works { health.trouble() } else { None }),
                redis: ask_redis,
                token: settings.admin.as_ref().map(|(_, token)| token.clone()).unwrap_or_default(),
                mask: Arc::new(move |body: &[u8]| mask.apply(body).into_owned()),
                draining: draining.clone(),
            })
        };
        let runner = Arc::new(Runner {
            store,
            dispatcher: Arc::new(Dispatcher::new(routes, settings.concurrency)),
            metrics,
            live: live.clone(),
            clock,
            mask: settings.mask.clone(),
            giving_back: GivingBack::default(),
            leases: crate::worker::Leases::default(),
            renew_every: settings.lease / 3,
            #[cfg(test)]
            worker_dies: false.into(),
        });
        Ok(Assembled {
            settings,
            ingress,
            live,
            refused,
            draining,
            #[cfg(feature = "admin")]
            admin,
            runner,
            health,
            closing,
        })
    }
}

impl Assembled {
    fn start(self) -> Receiver {
        let Self { settings, runner, health, .. } = self;
        let store = runner.store.clone();
        let workers = settings.runs_jobs.then(|| {
            let grace = settings.shutdown_grace;
            Background::start(|stop| async move {
                // Told to, or nobody is left who could tell.
                let stopped = async { drop(stop.await) };
                crate::worker::run(runner, health, stopped, grace).await;
            })
        });
        let sweeper = Background::start(|stop| sweeper::run(store.clone(), settings.retention, stop));
        Receiver {
            settings,
            ingress: self.ingress,
            live: self.live,
            draining: self.draining,
            #[cfg(feature = "admin")]
            admin: self.admin,
            workers,
            sweeper,
            closing: self.closing,
            store,
        }
    }
}

fn means(settings: &Settings) -> Result<Means, BuildError> {
    Ok(Means {
        client: HttpClient::new(settings.clock.clone())
            .map_err(|error| BuildError::HttpClient(error.into()))?,
        #[cfg(feature = "redis")]
        clock: settings.clock.clone(),
        #[cfg(feature = "redis")]
        streams: match &settings.queue {
            Queue::Embedded => None,
            // A connection beside the queue's own, so that neither waits behind the other.
            Queue::Redis(queue) => {
                Some(Arc::new(Streams::new(&queue.options.address).map_err(BuildError::Redis)?))
            }
        },
    })
}

fn handled(routes: Vec<PendingRoute<()>>, means: Option<&Means>) -> Result<Vec<HandledRoute>, BuildError> {
    let handled = |pending: PendingRoute<()>| {
        let name = pending.route.name.as_str();
        let handler = (pending.handler)(&(), means)
            .map_err(|source| BuildError::Target { route: name.to_owned(), source })?;
        Ok(HandledRoute { name: name.into(), handler, route: pending.route })
    };
    routes.into_iter().map(handled).collect()
}
