//! As little HTTP as a generator needs: one kept-alive connection, one exchange at a time.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// No reply here is near this size; a server that sends more is broken.
const MAX_REPLY: usize = 1 << 20;

/// A connection to a server, used for one exchange after the other.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What the server answered.
pub(crate) struct Reply<'a> {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: &'a [u8],
    /// Whether the server closes the connection after this reply.
    pub(crate) closes: bool,
}

impl Connection {
    /// Connects to a server.
    pub(crate) async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 2048] })
    }

    /// Sends a whole request and reads the whole reply.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Reply<'_>> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let head = loop {
            if let Some(head) = Head::parse(&self.buffer[..filled])?
                && filled >= head.end()
            {
                break head;
            }
            if filled == self.buffer.len() {
                if filled >= MAX_REPLY {
                    return Err(broken("a reply of more than 1 MiB"));
                }
                self.buffer.resize(filled * 2, 0);
            }
            match self.stream.read(&mut self.buffer[filled..]).await? {
                0 if filled == 0 => return Err(broken("the connection was closed instead of a reply")),
                0 => return Err(broken("the connection was closed within a reply")),
                read => filled += read,
            }
        };
        if filled > head.end() {
            return Err(broken("more bytes than the reply's Content-Length"));
        }
        let body = &self.buffer[head.length..head.end()];
        Ok(Reply { status: head.status, body, closes: head.closes })
    }
}

struct Head {
    status: u16,
    length: usize,
    content_length: usize,
    closes: bool,
}

impl Head {
    /// Reads the head of a reply; `None` while it is not complete.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut reply = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = reply.parse(bytes).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let status = reply.code.unwrap_or_default();
        let header = |name: &str| {
            reply
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))
                .map(|header| header.value)
        };
        let content_length = match header("content-length") {
            Some(value) => str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok())
                .filter(|&length: &usize| length <= MAX_REPLY)
                .ok_or_else(|| broken("a reply whose Content-Length is not a length below 1 MiB"))?,
            None if status == 204 => 0,
            None => return Err(broken("a reply without Content-Length")),
        };
        let closes = header("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        Ok(Some(Self { status, length, content_length, closes }))
    }

    /// Where the reply ends.
    fn end(&self) -> usize {
        self.length + self.content_length
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_replies_that_come_in_pieces() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4];
            stream.read_exact(&mut request).await.unwrap();
            for piece in ["HTTP/1.1 200 OK\r\nConte", "nt-length: 5\r\n\r", "\nhel", "lo"] {
                stream.write_all(piece.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            stream.read_exact(&mut request).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .await
                .unwrap();
            stream.read_exact(&mut request).await.unwrap();
        });
        let mut connection = Connection::open(to).await.unwrap();
        let reply = connection.exchange(b"ping").await.unwrap();
        assert_eq!((reply.status, reply.body, reply.closes), (200, &b"hello"[..], false));
        let reply = connection.exchange(b"ping").await.unwrap();
        assert_eq!((reply.status, reply.body, reply.closes), (503, &b""[..], true));
        let error = connection.exchange(b"ping").await.err().unwrap();
        assert!(error.to_string().contains("closed instead of a reply"), "{error}");
        server.await.unwrap();
    }
}
