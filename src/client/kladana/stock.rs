use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Kladana;
use crate::{
    client::ClientError,
    clock::Timestamp,
    provider::{
        Decimal,
        kladana::{ReportType, StockEvent, StockType, moscow_time},
    },
};

/// Stock levels as they are now.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StockReport {
    /// Since when the levels have changed that it shows, as the notification says. `None`: these are all levels.
    pub changed_since: Option<Timestamp>,
    /// The levels, in no order.
    pub rows: Vec<StockRow>,
}

/// One stock level.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct StockRow {
    /// The product, its variant or its batch.
    pub assortment_id: String,
    /// The store; `None` in reports by product alone, and for what no store is named for.
    pub store_id: Option<String>,
    /// The level, which may be negative. `None` where the vendor gives none.
    pub stock: Option<Decimal>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How far back the vendor reports changes: 24 h, less what a call may take.
const LONGEST: Duration = Duration::from_secs(24 * 3600 - 300);

impl Kladana {
    /// The levels that a stock notification is about, as they are **now**: those that have changed since the time that
    /// it names.
    ///
    /// The vendor reports changes of the last 24 h only. For an older notification (one that was replayed, or whose job
    /// waited) and for one that names no time, all levels are fetched, zeros among them. So no notification
    /// is handled in vain; [`StockReport::changed_since`] tells which it was.
    ///
    /// ```no_run
    /// # async fn run(kladana: doorbell::client::Kladana, event: doorbell::provider::kladana::StockEvent)
    /// # -> Result<(), doorbell::client::ClientError> {
    /// let report = kladana.stock(&event).await?;
    /// for row in report.rows {
    ///     println!("{} in {:?}: {:?}", row.assortment_id, row.store_id, row.stock);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Unusable`] if the notification is about an unknown report.
    pub async fn stock(&self, event: &StockEvent) -> Result<StockReport, ClientError> {
        let path = match &event.report_type {
            ReportType::All => "report/stock/all/current",
            ReportType::ByStore => "report/stock/bystore/current",
            other => {
                return Err(ClientError::unusable("the report's type", other.as_str(), "all or bystore"));
            }
        };
        let stock_type = event.stock_type.as_ref().unwrap_or(&StockType::Stock);
        if !StockType::KNOWN.contains(stock_type) {
            let expected = "stock, freeStock, quantity, reserve or inTransit";
            return Err(ClientError::unusable("the type of stock", stock_type.as_str(), expected));
        }
        let now = self.transport.now();
        let since = event.changed_since().filter(|&since| since <= now && now.since(since) < LONGEST);
        let which = match since.and_then(moscow_time) {
            Some(since) => ("changedSince", since),
            None => ("include", "zeroLines".to_owned()),
        };
        let rows = self.get(path, &[("stockType", stock_type.as_str()), (which.0, &which.1)]).await?;
        Ok(StockReport { changed_since: since, rows })
    }
}
