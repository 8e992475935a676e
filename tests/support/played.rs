//! A sender that is played by the very command that the documentation shows.

use crate::support::doorbell;

/// Runs a `doorbell send …` that the documentation shows, at the address in `printed`, in a folder where no service runs.
/// It must end as done, as whoever copies it expects.
#[track_caller]
pub(crate) fn play(shown: &str, printed: &str) {
    let origin = |text: &str| {
        let (_, rest) = text.split_once("http://").expect("a URL");
        format!("http://{}", rest.split(['/', ' ']).next().unwrap_or_default())
    };
    let line = shown.replace(&origin(shown), &origin(printed));
    let folder = tempfile::tempdir().expect("a folder");
    doorbell(folder.path(), &format!("send {line}")).with_code(0);
}
