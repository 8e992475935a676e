//! Threads of the ingress' own. Handlers run elsewhere, so one that blocks the thread it runs on makes no ack late, and
//! under more load than the machine can bear acks and jobs each get their share of it.

use std::{io, thread};

use tokio::{
    runtime::{Builder, EnterGuard, Handle, Runtime},
    task::JoinHandle,
};

/// A runtime that can be dropped anywhere.
#[derive(Debug)]
pub(crate) struct Threads {
    handle: Handle,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
}

impl Threads {
    /// Starts one thread a core.
    ///
    /// # Errors
    /// The system gives no more threads or files.
    pub(crate) fn start() -> io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(threads).thread_name("doorbell-ingress").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Sockets that are opened while the guard lives belong to these threads.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// Runs something on them.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.handle.spawn(work)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // To drop a runtime is to wait for its threads, which may not be done inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
