//! `doorbell refused`: who was turned away, and why.

use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::{
    client::{Api, ApiError, shaped},
    output::{self, Output, indented, table},
};

/// Show the last refused requests, with what their senders were not told
#[derive(Debug, Clone, Args)]
pub(crate) struct RefusedArgs {
    /// With their headers, as far as these can't hold a secret
    #[arg(long)]
    pub(crate) headers: bool,
}

#[derive(Deserialize)]
struct Answer {
    refused: Vec<Refused>,
    total: u64,
}

#[derive(Deserialize)]
struct Refused {
    at: String,
    source: String,
    reason: String,
    detail: String,
    headers: Vec<(String, String)>,
    size: u64,
}

/// Shows refused requests.
pub(crate) async fn run(args: RefusedArgs, api: &Api, out: Output) -> Result<ExitCode, ApiError> {
    let answer = api.get("/api/refused", &[]).await?;
    out.answer(&answer, |answer| text(answer, args.headers))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn text(answer: &Value, headers: bool) -> Result<String, ApiError> {
    let answer: Answer = shaped(answer)?;
    if answer.refused.is_empty() {
        return Ok("No request was refused since the service started.\n".to_owned());
    }
    let row = |request: &Refused| {
        let source = if request.source.is_empty() { "-" } else { &request.source };
        [
            request.at.clone(),
            source.to_owned(),
            request.reason.clone(),
            request.size.to_string(),
            request.detail.clone(),
        ]
    };
    let rows: Vec<_> = answer.refused.iter().map(row).collect();
    let lines = table(["AT", "SOURCE", "REASON", "BYTES", "DETAIL"], &rows);
    let mut lines = lines.lines();
    let mut text = lines.next().map(|titles| format!("{titles}\n")).unwrap_or_default();
    for (line, request) in lines.zip(&answer.refused) {
        output::line(&mut text, line);
        if headers {
            let headers = request
                .headers
                .iter()
                .fold(String::new(), |all, (name, value)| all + name + ": " + value + "\n");
            text += &indented(&headers);
        }
    }
    let shown = answer.refused.len() as u64;
    if answer.total > shown {
        output::line(
            &mut text,
            format_args!("The last {shown} of {} since the service started.", answer.total),
        );
    }
    Ok(text)
}
