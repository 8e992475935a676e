//! Which admin API a command asks.

use super::{Failure, Global, client::Api};
use crate::admin::token;

/// The admin API that a command is to ask.
pub(crate) fn connect(global: &Global) -> Result<Api, Failure> {
    remote(global)
}

/// The API of the running service: the one at `--url`, or else the one that the configuration describes.
pub(crate) fn remote(global: &Global) -> Result<Api, Failure> {
    let config = global.preview()?.config;
    let token = match config.admin.token {
        Some(token) => token,
        None => token::load(&config.journal.dir)
            .map_err(|error| Failure::Usage(format!("there is no admin token: {error}; {MEND}")))?,
    };
    let url = global.url.as_ref().map_or_else(|| Api::url_of(config.admin.listen), ToString::to_string);
    Ok(Api::remote(&url, &token)?)
}

const MEND: &str = "`doorbell serve` makes one on its first start, or the configuration names one as `token` in [admin]; \
                    --config names the configuration";
