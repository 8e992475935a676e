//! Commands as targets, with the tools that every Unix has.
#![cfg(unix)]

use bytes::Bytes;
use tokio::{io::AsyncReadExt, net::unix::pipe};

use super::*;

fn shell(script: &str) -> ExecTarget {
    ExecTarget::new(["sh", "-c", script]).unwrap()
}

async fn error_of(script: &str) -> HandlerError {
    shell(script).handle(Job::sample()).await.unwrap_err()
}

/// What the script writes to descriptor 2, read back from the error of its failure.
async fn says(script: &str, job: Job) -> String {
    let error = shell(&format!("{{ {script}; }} >&2; exit 1")).handle(job).await.unwrap_err().to_string();
    error.split_once("exit status: 1").unwrap().1.trim_start_matches(": ").to_owned()
}

#[tokio::test]
async fn the_exit_status_decides() {
    shell("exit 0").handle(Job::sample()).await.unwrap();
    for status in [1, 2, 64, 75, 127, 255] {
        let error = error_of(&format!("echo out of stock >&2; exit {status}")).await;
        assert!(matches!(error, HandlerError::Retry { after: None, .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("\"sh\" ended with exit status: {status}: out of stock"));
    }
    let error = error_of("exit 65").await;
    assert!(matches!(error, HandlerError::Dead { .. }), "{error:?}");
    let error = error_of("kill -9 $$").await;
    assert!(
        matches!(error, HandlerError::Retry { .. }) && error.to_string().contains("signal: 9"),
        "{error:?}"
    );
}

#[tokio::test]
async fn data_comes_on_standard_input_and_metadata_in_the_environment() {
    let mut job = Job::sample();
    job.subject = Some("stock/512 $(id) \0".into());
    job.attempt.number = 4;
    job.attempt.replay = 2;
    assert_eq!(says("cat", job.clone()).await, str::from_utf8(&job.data).unwrap());
    for (name, value) in [
        ("JOB_ID", job.id.to_string().as_str()),
        ("EVENT_ID", &job.event_id.to_string()),
        ("DELIVERY_ID", &job.delivery_id.to_string()),
        ("SOURCE", "cafe"),
        ("PROVIDER", "poster"),
        ("KIND", "stock.changed"),
        ("SUBJECT", "stock/512 $(id) ;"),
        ("ROUTE", "stock-to-erp"),
        ("ATTEMPT", "4"),
        ("REPLAY", "2"),
        ("RECEIVED_AT", "2025-12-31T08:03:20.045Z"),
        ("OCCURRED_AT", "2025-12-31T08:03:19.000Z"),
    ] {
        let value = value.trim_end_matches(';');
        assert_eq!(
            says(&format!("printf '%s|' \"$DOORBELL_{name}\""), job.clone()).await,
            format!("{value}|")
        );
    }
    (job.subject, job.occurred_at) = (None, None);
    assert_eq!(
        says("echo ${DOORBELL_SUBJECT-unset} ${DOORBELL_OCCURRED_AT-unset}", job).await,
        "unset unset"
    );
}

#[tokio::test]
async fn a_job_without_data_has_an_end() {
    let mut job = Job::sample();
    job.data = Bytes::new();
    assert_eq!(says("wc -c | tr -d ' '", job).await, "0");
}

#[tokio::test]
async fn of_our_environment_only_harmless_variables_are_passed_on() {
    // Whatever else is set here stands for the secrets of the service.
    assert!(std::env::vars_os().any(|(name, _)| !INHERITED.iter().any(|inherited| name == *inherited)));
    let names = says("env | sed 's/=.*//'", Job::sample()).await;
    for name in names.split_whitespace() {
        let by_the_shell = ["PWD", "SHLVL", "OLDPWD", "_"];
        assert!(
            INHERITED.contains(&name) || name.starts_with("DOORBELL_") || by_the_shell.contains(&name),
            "{name}"
        );
    }
    let target = shell("test \"$TOKEN\" = t0ken").env("TOKEN", "t0ken");
    assert!(!format!("{target:?}").contains("t0ken"));
    target.handle(Job::sample()).await.unwrap();
}

#[tokio::test]
async fn a_command_that_does_not_read_its_input_is_fine() {
    let mut job = Job::sample();
    job.data = Bytes::from(vec![b'x'; 4 << 20]);
    shell("exec <&-; exit 0").handle(job.clone()).await.unwrap();
    ExecTarget::new(["true"]).unwrap().handle(job).await.unwrap();
}

#[tokio::test]
async fn much_input_and_much_output_do_not_block_each_other() {
    let mut job = Job::sample();
    job.data = Bytes::from(vec![b'x'; 4 << 20]);
    shell("cat; cat >&2").handle(job.clone()).await.unwrap();
    let error = shell("cat >&2; echo the end >&2; exit 1").handle(job).await.unwrap_err().to_string();
    assert!(error.ends_with("xx the end") || error.ends_with("xxthe end"), "{error}");
    assert!(error.len() < 2200, "{} bytes", error.len());
}

#[tokio::test]
async fn a_standard_error_that_stays_open_holds_up_nothing() {
    // The process that is left behind has inherited it.
    let error = error_of("echo why >&2; sleep 60 & echo $! >&2; exit 3").await.to_string();
    assert!(error.contains("exit status: 3: why"), "{error}");
    let left_over = error.rsplit(' ').next().unwrap().parse().unwrap();
    let left_over = rustix::process::Pid::from_raw(left_over).unwrap();
    rustix::process::kill_process(left_over, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn an_attempt_that_is_cut_off_is_killed_with_its_offspring() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("alive");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let mut alive = pipe::OpenOptions::new().open_receiver(&fifo).unwrap();

    // A grandchild and its parent hold the pipe open for writing as long as they live.
    let target =
        shell("exec 3>\"$FIFO\"; sh -c 'echo ready >&3; sleep 600; exit' & wait; exit 0").env("FIFO", &fifo);
    let mut attempt = Box::pin(target.handle(Job::sample()));
    let mut ready = [0; 6];
    tokio::select! {
        result = &mut attempt => panic!("ended by itself: {result:?}"),
        // Before anyone has opened it for writing, the pipe is at its end.
        () = async {
            let mut read = 0;
            while read < ready.len() {
                match alive.read(&mut ready[read..]).await.unwrap() {
                    0 => tokio::task::yield_now().await,
                    n => read += n,
                }
            }
        } => {}
    }
    assert_eq!(&ready, b"ready\n");
    drop(attempt);
    // The end of the pipe: none of them is left.
    assert_eq!(alive.read(&mut ready).await.unwrap(), 0);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_tried_again_and_named() {
    let target = ExecTarget::new(["/nonexistent/doorbell-handler", "--token=hunter2"]).unwrap();
    let error = target.handle(Job::sample()).await.unwrap_err();
    assert!(matches!(error, HandlerError::Retry { .. }));
    let error = error.to_string();
    assert!(error.starts_with("can't run \"/nonexistent/doorbell-handler\": "), "{error}");
    assert!(!error.contains("hunter2") && !format!("{target:?}").contains("hunter2"), "{error}");
}

#[test]
fn a_command_that_is_none_is_refused() {
    for (wrong, reason) in [(vec![], "no program"), (vec!["", "x"], "no program"), (vec!["a", "b\0"], "NUL")]
    {
        let error = ExecTarget::new(wrong).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("[\"program\""), "{error}");
    }
}

#[test]
fn processes_are_bounded() {
    let target = ExecTarget::new(["true"]).unwrap();
    assert_eq!(target.capacity(5), Capacity::free(3));
    assert_eq!(target.concurrency(NonZeroUsize::MIN).capacity(5), Capacity::free(0));
}
