use std::sync::{Mutex, PoisonError};

/// How the workers are, for readiness.
#[derive(Debug, Default)]
pub(crate) struct WorkerHealth(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: bool,
    restarts: usize,
    last_error: Option<String>,
}

impl WorkerHealth {
    pub(super) fn started(&self) {
        self.state().running = true;
    }

    pub(super) fn died(&self, error: &str) {
        let mut state = self.state();
        state.running = false;
        state.restarts += 1;
        state.last_error = Some(error.to_owned());
    }

    pub(super) fn stopped(&self) {
        self.state().running = false;
    }

    /// What is wrong, in words; `None` if nothing is.
    #[cfg(any(test, feature = "admin"))]
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = self.state();
        if state.running {
            return None;
        }
        Some(match &state.last_error {
            Some(error) => {
                format!("the worker died ({} times by now) and is being restarted: {error}", state.restarts)
            }
            None => "no worker is running".into(),
        })
    }

    #[cfg(test)]
    pub(super) fn restarts(&self) -> usize {
        self.state().restarts
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
