//! What is remembered of rows while their deliveries are on their way, and what became of them.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{Accepted, StoreError, sealed::Sealed, sqlite::Held},
};

/// A row whose delivery is on its way.
pub(super) struct Offered {
    pub(super) position: i64,
    pub(super) id: DeliveryId,
    pub(super) received_at: Timestamp,
    pub(super) source: Option<Arc<str>>,
    pub(super) unreadable: Option<String>,
}

/// What became of one row.
pub(super) enum Fate {
    Taken {
        original: Option<DeliveryId>,
    },
    Refused(String),
    /// Not known, or not now.
    Open(String),
}

/// What to remember of rows, and what to offer.
pub(super) fn offer(rows: Vec<Held>) -> (Vec<Offered>, Vec<Sealed>) {
    let mut batch = Vec::with_capacity(rows.len());
    let offered = rows.into_iter().map(|row| {
        let Held { position, id, received_at, delivery } = row;
        let (source, unreadable) = match delivery {
            Ok(delivery) => {
                let source = delivery.source.clone();
                batch.push(delivery);
                (Some(source), None)
            }
            Err(why) => (None, Some(format!("its row in the journal can't be read: {why}"))),
        };
        Offered { position, id, received_at, source, unreadable }
    });
    let offered = offered.collect();
    (offered, batch)
}

/// What became of each row, by the answers to those that could be offered.
pub(super) fn fates(rows: Vec<Offered>, answers: Vec<Result<Accepted, StoreError>>) -> Vec<(Offered, Fate)> {
    let mut answers = answers.into_iter();
    let fates = rows.into_iter().map(|row| {
        let fate = match &row.unreadable {
            Some(why) => Fate::Refused(why.clone()),
            None => answers.next().map_or_else(|| Fate::Open("no answer".into()), fate_of),
        };
        (row, fate)
    });
    fates.collect()
}

fn fate_of(answer: Result<Accepted, StoreError>) -> Fate {
    match answer {
        Ok(Accepted::New { .. }) => Fate::Taken { original: None },
        Ok(Accepted::Duplicate { original }) => Fate::Taken { original: Some(original) },
        Err(StoreError::Invalid(why)) => Fate::Refused(why),
        Err(error) => Fate::Open(error.to_string()),
    }
}
