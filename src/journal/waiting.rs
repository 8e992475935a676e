//! How the stores' tests wait for what nobody announces.

use std::time::Duration;

/// Waits for something that comes in its own time. Only a failing test waits long.
pub(super) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let answer = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    answer.await.unwrap_or_else(|_| panic!("in vain: {what}"))
}
