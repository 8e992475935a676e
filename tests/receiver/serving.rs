//! What a receiver promises that listens by itself.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Mutex, mpsc},
    thread,
};

use tokio::sync::oneshot;

use super::*;

#[tokio::test]
async fn a_handler_that_blocks_its_thread_holds_up_no_acknowledgement() {
    let data = tempfile::tempdir().unwrap();
    let (blocks, has_blocked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let receiver = Receiver::builder()
        .data_dir(data.path())
        .listen(([127, 0, 0, 1], 0).into())
        .source("cafe", Poster::new(SECRET))
        .on("cafe", "stock.changed", move |_: Raw| {
            let (blocks, released) = (blocks.clone(), released.clone());
            async move {
                // What no handler should do, and some do: this thread is the only one of the test's runtime.
                blocks.send(()).unwrap();
                let _ = released.lock().unwrap().recv();
                Ok(())
            }
        })
        .build()
        .await
        .unwrap();
    let bound = receiver.bind().await.unwrap();
    let address = bound.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let sender = thread::spawn(move || {
        let first = post(address, 1);
        has_blocked.recv().unwrap();
        let second = post(address, 2);
        // Both handlers go on.
        drop(release);
        drop(stop);
        (first, second)
    });
    bound.serve(async { drop(stopped.await) }).await;
    let (first, second) = sender.join().unwrap();
    assert_eq!((first.unwrap(), second.unwrap()), ("HTTP/1.1 200 OK".into(), "HTTP/1.1 200 OK".into()));
}

/// Sends a vendor-true delivery; the status line of the reply.
fn post(address: SocketAddr, number: u128) -> std::io::Result<String> {
    let request = signed(number);
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "POST /in/cafe HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n")?;
    for (name, value) in &request.headers {
        write!(stream, "{name}: {}\r\n", value.to_str().unwrap())?;
    }
    write!(stream, "content-length: {}\r\n\r\n", request.body.len())?;
    stream.write_all(&request.body)?;
    Ok(BufReader::new(stream).lines().next().transpose()?.unwrap_or_default())
}
