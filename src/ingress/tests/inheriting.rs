//! A restart behind an inherited listener refuses no connection.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use tokio::net::TcpStream;

use super::support::{Client, Harness, LONG, good};
use crate::ingress::{Limits, Listener};

const CHILD: &str = "ingress::tests::inheriting::one_process_of_several";

#[tokio::test]
async fn connections_wait_while_no_process_is_there_to_accept_them() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..3 {
        // Nobody accepts now.
        let mut client = Client(TcpStream::connect(address).await.unwrap());
        client.write(&good("a")).await;
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--ignored"])
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDS_FIRST_FD", "0")
            .env_remove("LISTEN_PID")
            .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(client.answer().await.status(), 200);
        let ended = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
        assert!(ended.unwrap().success());
    }
}

/// Inherits its listener, takes one delivery in and ends.
#[tokio::test]
#[ignore = "a process of the other test: it needs an inherited listener"]
async fn one_process_of_several() {
    let elsewhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let listener = Listener::inherit_or_bind(elsewhere).unwrap();
    assert!(listener.inherited);
    let mut harness = Harness::on(listener, Limits::default(), []);
    tokio::time::timeout(LONG, harness.stored.recv()).await.unwrap().unwrap();
    harness.stop();
    harness.ended().await;
}
