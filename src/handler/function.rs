//! Plain async functions as handlers: each argument says what it wants of the job.

use std::{marker::PhantomData, ops::Deref};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{Attempt, Handler, HandlerError, Job};
use crate::provider::FromEvent;

/// What an argument of a handler function takes from its job.
///
/// Implemented for [`Event`], [`Raw`], [`Job`], [`Attempt`] and [`State`]; implement it for a type of your own to give
/// your handlers more.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a handler",
    label = "not something that a job offers",
    note = "a handler's arguments can be `Event<T>`, `Raw`, `Job`, `Attempt` and `State<S>` where `S` is what \
            `with_state` was given; wrap your own type in `State` or implement `FromJob` for it"
)]
pub trait FromJob<S>: Sized {
    /// Takes the argument from a job, or says what becomes of the job if that can't be done.
    ///
    /// # Errors
    /// As a handler's own.
    fn from_job(job: &Job, state: &S) -> Result<Self, HandlerError>;
}

/// The event, read as `T`: a provider's own type such as [`poster::Event`](crate::provider::poster::Event), or
/// [`serde_json::Value`]. Data that is no `T` makes the job a dead letter at once.
#[derive(Debug, Clone)]
pub struct Event<T>(pub T);

impl<T> Deref for Event<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<S, T: FromEvent> FromJob<S> for Event<T> {
    fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        T::from_event(&job.kind, &job.data).map(Event).map_err(HandlerError::dead)
    }
}

/// The event's data in the vendor's own shape, to the byte as it came.
#[derive(Debug, Clone)]
pub struct Raw(pub Bytes);

impl<S> FromJob<S> for Raw {
    fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Ok(Self(job.data.clone()))
    }
}

impl<S> FromJob<S> for Job {
    fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Ok(job.clone())
    }
}

impl<S> FromJob<S> for Attempt {
    fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Ok(job.attempt)
    }
}

/// What [`Builder::with_state`](crate::Builder::with_state) was given.
#[derive(Debug, Clone)]
pub struct State<S>(pub S);

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S: Clone> FromJob<S> for State<S> {
    fn from_job(_: &Job, state: &S) -> Result<Self, HandlerError> {
        Ok(Self(state.clone()))
    }
}

/// A function that can handle jobs: `async fn` with up to four arguments, each a [`FromJob`], that returns
/// `Result<(), HandlerError>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not an async function of the right shape",
    note = "a handler is `async fn(up to four arguments) -> Result<(), HandlerError>`, each argument one of `Event<T>`, \
            `Raw`, `Job`, `Attempt` and `State<S>`, its future `Send`"
)]
pub trait HandlerFn<S, Args>: Clone + Send + Sync + 'static {
    /// Calls the function with what its arguments take from the job.
    fn call(&self, job: &Job, state: &S) -> BoxFuture<'static, Result<(), HandlerError>>;
}

macro_rules! handler_fn {
    ($($arg:ident),*) => {
        impl<S, F, Fut, $($arg),*> HandlerFn<S, ($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
            $($arg: FromJob<S>,)*
        {
            #[allow(non_snake_case, unused_variables, reason = "the macro names the arguments after their types")]
            fn call(&self, job: &Job, state: &S) -> BoxFuture<'static, Result<(), HandlerError>> {
                $(let $arg = match $arg::from_job(job, state) {
                    Ok(argument) => argument,
                    Err(error) => return Box::pin(std::future::ready(Err(error))),
                };)*
                Box::pin(self($($arg),*))
            }
        }
    };
}
handler_fn!();
handler_fn!(A);
handler_fn!(A, B);
handler_fn!(A, B, C);
handler_fn!(A, B, C, D);

/// A function together with its state.
pub(crate) struct FunctionHandler<F, S, Args> {
    function: F,
    state: S,
    args: PhantomData<fn() -> Args>,
}

impl<F, S, Args> FunctionHandler<F, S, Args> {
    pub(crate) fn new(function: F, state: S) -> Self {
        Self { function, state, args: PhantomData }
    }
}

impl<F, S, Args> Handler for FunctionHandler<F, S, Args>
where
    F: HandlerFn<S, Args>,
    S: Send + Sync + 'static,
    Args: 'static,
{
    fn handle(&self, job: Job) -> BoxFuture<'static, Result<(), HandlerError>> {
        self.function.call(&job, &self.state)
    }
}
