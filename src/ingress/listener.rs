//! Where connections come from: a socket of our own, or one that a supervisor keeps open over our restarts.

use std::{io, net::SocketAddr};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket};

/// How many connections the kernel holds for us until we accept them.
const BACKLOG: u32 = 4096;

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) socket: TcpListener,
    /// Whether a supervisor keeps the socket open over our restarts: what we do not accept waits for our successor.
    pub(crate) inherited: bool,
}

impl Listener {
    /// The first socket of `LISTEN_FDS` if there is one, otherwise a new one at `address`.
    ///
    /// To be called once in a process, and early: it takes the variables out of the environment.
    ///
    /// # Errors
    /// What is inherited is no TCP listener, or the address can't be listened at.
    pub(crate) fn inherit_or_bind(address: SocketAddr) -> io::Result<Self> {
        match ListenFd::from_env().take_tcp_listener(0)? {
            Some(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Self { socket: TcpListener::from_std(socket)?, inherited: true })
            }
            None => Self::bind(address),
        }
    }

    /// A new socket at `address`. An address that was in use a moment ago can be had again at once.
    ///
    /// # Errors
    /// The address can't be listened at: it is in use, not this machine's, or not allowed to us.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // On Windows this option would let another process take the address over.
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { socket: socket.listen(BACKLOG)?, inherited: false })
    }

    /// The address it listens at; with port 0 asked for, the one that was given.
    ///
    /// # Errors
    /// The socket is broken.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}
