//! The floor: what the same machine does when nothing is stored. A bare axum handler on the product's route that
//! parses the body, checks its md5 and answers.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing,
};
use tokio::net::TcpListener;

use crate::poster;

/// Serves until the process is ended. Prints where, as the first line on stdout.
pub(crate) async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router()).await?;
    Ok(())
}

/// The floor's routes.
pub(crate) fn router() -> Router {
    Router::new().route("/in/{source}", routing::post(take))
}

async fn take(Path(source): Path<String>, body: Bytes) -> Response {
    if source != poster::SOURCE {
        return StatusCode::NOT_FOUND.into_response();
    }
    if !poster::is_authentic(&body) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    ([(header::CONTENT_TYPE, "application/json")], poster::ACCEPTED).into_response()
}
