//! Who may look.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};

use super::{AdminContext, Context, problem::Problem};

/// Lets a request through that proves to be the operator's, and answers any other with 401.
pub(super) async fn demand(
    State(context): State<Context>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    check(&context, request.headers())?;
    Ok(next.run(request).await)
}

/// Whether the headers prove that the operator is asking.
///
/// Each way to prove it is one function that takes the headers and answers yes or no; any one suffices.
///
/// # Errors
/// The 401 to answer with. It tells nothing about what was wrong.
pub(super) fn check(context: &AdminContext, headers: &HeaderMap) -> Result<(), Problem> {
    if bearer(context, headers) { Ok(()) } else { Err(Problem::unauthorized()) }
}

/// `Authorization: Bearer <token>`, compared in constant time.
fn bearer(context: &AdminContext, headers: &HeaderMap) -> bool {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
    });
    token.is_some_and(|token| context.token.matches(token))
}
