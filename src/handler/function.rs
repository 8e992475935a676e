//! Plain async functions as handlers: each argument says what it wants of the job.

use std::{marker::PhantomData, ops::Deref};

use axum_core::extract::FromRef;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Attempt, Delivery, Handler, HandlerError, Job};
use crate::provider::{EventError, FromEvent};

/// What an argument of a handler function takes from its job.
///
/// Implemented for [`Event`], [`Json`], [`Raw`], [`Job`], [`Delivery`], [`Attempt`] and [`State`]; implement it for a type of your
/// own to give your handlers more:
///
/// ```
/// use doorbell::{FromJob, HandlerError, Job};
///
/// /// The key of the entity that an event is about.
/// struct Key(String);
///
/// impl<S> FromJob<S> for Key {
///     fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
///         let subject = job.subject.as_deref().and_then(|subject| subject.split_once('/'));
///         let (_, key) = subject.ok_or_else(|| HandlerError::discard("an event about nothing"))?;
///         Ok(Self(key.to_owned()))
///     }
/// }
///
/// async fn changed(Key(key): Key) -> Result<(), HandlerError> {
///     println!("{key} changed");
///     Ok(())
/// }
/// # let builder = doorbell::Receiver::builder::<()>().on("cafe", "*.changed", changed);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a handler",
    label = "not something that a job offers",
    note = "an argument is one of `Event<T>`, `Json<T>`, `Raw`, `Job`, `Delivery`, `Attempt` and `State<…>`: wrap what \
            `with_state` is given in `State`, what implements `Deserialize` in `Json`, or implement `FromJob` for your own type"
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
///
/// ```
/// use doorbell::{Event, HandlerError, provider::poster::{Object, Event as Notification}};
/// use serde_json::Value;
///
/// async fn changed(Event(event): Event<Notification>) -> Result<(), HandlerError> {
///     if event.object == Object::Product {
///         println!("product {} was {}", event.object_id, event.action);
///     }
///     Ok(())
/// }
///
/// async fn pushed(event: Event<Value>) -> Result<(), HandlerError> {
///     println!("a push to {}", event["ref"]);
///     Ok(())
/// }
/// # let builder = doorbell::Receiver::builder::<()>().on("cafe", "product.*", changed).on("repo", "push", pushed);
/// ```
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

/// The event's data, read from JSON as a type of your own by serde. Data that is no `T` makes the job a dead letter at once.
///
/// ```
/// use doorbell::{HandlerError, Json, Receiver, provider::{Hmac, Preset}};
/// use serde::Deserialize;
///
/// /// What this application wants of GitHub's `push`; the rest is ignored.
/// #[derive(Deserialize)]
/// struct Push {
///     r#ref: String,
///     after: String,
/// }
///
/// async fn pushed(Json(push): Json<Push>) -> Result<(), HandlerError> {
///     println!("{} is at {} now", push.r#ref, push.after);
///     Ok(())
/// }
///
/// let github = Hmac::preset(Preset::Github, "a secret")?;
/// let builder = Receiver::builder::<()>().source("repo", github).on("repo", "push", pushed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<S, T: DeserializeOwned> FromJob<S> for Json<T> {
    fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        serde_json::from_slice(&job.data).map(Json).map_err(|error| {
            HandlerError::dead(EventError::new(&job.kind, std::any::type_name::<T>(), error))
        })
    }
}

/// The event's data in the vendor's own shape, to the byte as it came.
///
/// ```
/// use doorbell::{Delivery, HandlerError, Raw};
///
/// async fn keep(Raw(data): Raw, delivery: Delivery) -> Result<(), HandlerError> {
///     tokio::fs::write(format!("archive/{}.json", delivery.id), data).await?;
///     Ok(())
/// }
/// # let builder = doorbell::Receiver::builder::<()>().on("*", "*", keep);
/// ```
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

impl<S> FromJob<S> for Delivery {
    fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Ok(job.delivery())
    }
}

impl<S> FromJob<S> for Attempt {
    fn from_job(job: &Job, _: &S) -> Result<Self, HandlerError> {
        Ok(job.attempt)
    }
}

/// What [`Builder::with_state`](crate::Builder::with_state) was given, or a part of it by axum's `FromRef`, which an axum
/// application's state has implemented already or derives:
///
/// ```
/// use axum::extract::FromRef;
/// use doorbell::{HandlerError, Receiver, State};
///
/// #[derive(Clone)]
/// struct App {
///     shop: Shop,
/// }
/// # #[derive(Clone)] struct Shop;
///
/// impl FromRef<App> for Shop {
///     fn from_ref(app: &App) -> Self {
///         app.shop.clone()
///     }
/// }
///
/// async fn changed(shop: State<Shop>) -> Result<(), HandlerError> {
///     Ok(())
/// }
///
/// let builder = Receiver::builder().on("*", "*", changed).with_state(App { shop: Shop });
/// ```
#[derive(Debug, Clone)]
pub struct State<S>(pub S);

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S, Part: FromRef<S>> FromJob<S> for State<Part> {
    fn from_job(_: &Job, state: &S) -> Result<Self, HandlerError> {
        Ok(Self(Part::from_ref(state)))
    }
}

/// A function of up to four arguments. It can handle jobs if each of them is a [`FromJob`], and if what it returns is what
/// an `async fn(…) -> Result<(), HandlerError>` returns, and `Send`. It need not be a function of its own: a closure that
/// says its arguments' types will do.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't handle jobs",
    label = "not a function of up to four arguments",
    note = "a handler is an `async fn(…) -> Result<(), HandlerError>` with up to four arguments, each one of `Event<T>`, \
            `Json<T>`, `Raw`, `Job`, `Delivery`, `Attempt` and `State<…>`; `Job` holds most of them",
    note = "what implements `Handler` goes into `route(…)`"
)]
pub trait HandlerFn<Args> {
    /// What the function returns.
    type Future;

    /// Calls the function.
    fn call(&self, args: Args) -> Self::Future;
}

macro_rules! handler_fn {
    ($($arg:ident),*) => {
        // Asks nothing of the arguments and the future: what is wrong with them is then said of them, not of the function.
        impl<F, Fut, $($arg),*> HandlerFn<($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Fut,
        {
            type Future = Fut;

            #[allow(non_snake_case, reason = "the macro names the arguments after their types")]
            fn call(&self, ($($arg,)*): ($($arg,)*)) -> Fut {
                self($($arg),*)
            }
        }

        impl<S, $($arg: FromJob<S>),*> FromJob<S> for ($($arg,)*) {
            #[allow(unused_variables, clippy::unused_unit, reason = "there may be no arguments")]
            fn from_job(job: &Job, state: &S) -> Result<Self, HandlerError> {
                Ok(($($arg::from_job(job, state)?,)*))
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
    F: HandlerFn<Args, Future: Future<Output = Result<(), HandlerError>> + Send> + Send + Sync + 'static,
    S: Send + Sync + 'static,
    Args: FromJob<S> + 'static,
{
    fn handle(&self, job: Job) -> impl Future<Output = Result<(), HandlerError>> + Send {
        let called = Args::from_job(&job, &self.state).map(|args| self.function.call(args));
        async move { called?.await }
    }
}
