//! Looking for what may be moved from one place to another meanwhile.

/// What is there already; otherwise what is still here, and only then the error of the other place. What neither has may have
/// been moved between the two looks: then it is there now.
pub(crate) async fn there_or_here<T, E, F>(
    there: impl Fn() -> F,
    here: impl Future<Output = Result<Option<T>, E>>,
) -> Result<Option<T>, E>
where
    F: Future<Output = Result<Option<T>, E>>,
{
    match there().await {
        Ok(Some(found)) => Ok(Some(found)),
        Ok(None) => match here.await? {
            Some(found) => Ok(Some(found)),
            None => there().await,
        },
        Err(error) => here.await?.map(Some).ok_or(error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::journal::StoreError;

    /// What comes of a place that answers like this, and then like that, where this is here.
    async fn found(
        first: Result<Option<u8>, StoreError>,
        then: Option<u8>,
        here: Option<u8>,
    ) -> Result<Option<u8>, StoreError> {
        let first = Cell::new(Some(first));
        let there = || std::future::ready(first.take().unwrap_or(Ok(then)));
        there_or_here(there, async { Ok(here) }).await
    }

    #[tokio::test]
    async fn what_is_moved_between_two_looks_is_found() {
        let away = || StoreError::Unavailable("away".into());
        assert_eq!(found(Ok(None), Some(1), None).await.unwrap(), Some(1));
        assert_eq!(found(Ok(Some(2)), Some(1), Some(3)).await.unwrap(), Some(2));
        assert_eq!(found(Ok(None), Some(1), Some(3)).await.unwrap(), Some(3));
        assert_eq!(found(Ok(None), None, None).await.unwrap(), None);
        assert_eq!(found(Err(away()), Some(1), Some(3)).await.unwrap(), Some(3));
        assert!(found(Err(away()), Some(1), None).await.is_err());
    }
}
