//! Sockets: listen, dial, and serve HTTP/1.1 over them. The only room that changes
//! under simulation, where `sim::net` stands in for the operating system's network.
//!
//! Knows nothing of what is said over a connection. Begin with `serve` and `dial`; `secured` has
//! what lies between a socket and HTTP.

pub mod crowd;
pub mod dial;
pub mod gate;
pub mod pace;
mod refusals;
mod sealed;
pub mod secured;
pub mod serve;

#[cfg(sim)]
pub use crate::sim::net::{TcpListener, TcpStream};
#[cfg(not(sim))]
pub use tokio::net::{TcpListener, TcpStream};

use std::io;
use std::net::SocketAddr;

/// Listens on `addr`. `role` names the port in the error (`client port`, `Raft port`).
///
/// # Errors
/// The address is in use or not this machine's.
pub async fn listen(addr: SocketAddr, role: &'static str) -> Result<TcpListener, ListenError> {
    bind(addr).await.map_err(|error| ListenError { role, addr, error })
}

/// Takes `addr` for this process, but listens only when told to: until then a client is
/// refused, and goes elsewhere, instead of waiting here.
///
/// # Errors
/// Like [`listen`].
pub async fn reserve(addr: SocketAddr, role: &'static str) -> Result<Reserved, ListenError> {
    let socket = bind_only(addr).await.map_err(|error| ListenError { role, addr, error })?;
    Ok(Reserved { socket, role, addr })
}

/// See [`reserve`].
pub struct Reserved {
    socket: Bound,
    role: &'static str,
    addr: SocketAddr,
}

impl Reserved {
    /// To be called on the runtime that shall accept.
    ///
    /// # Errors
    /// Another process reserved the same address, and listens there by now.
    pub fn listen(self) -> Result<TcpListener, ListenError> {
        let Self { socket, role, addr } = self;
        listen_on(socket).map_err(|error| ListenError { role, addr, error })
    }
}

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} ({role}): {}", advice(error))]
pub struct ListenError {
    role: &'static str,
    addr: SocketAddr,
    error: io::Error,
}

fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the address is in use; stop the process that holds it, or choose another with --listen or --raft-listen".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address; choose one that it has with --listen or --raft-listen".into()
        }
        io::ErrorKind::PermissionDenied => {
            "not allowed; choose a port above 1023 with --listen or --raft-listen".into()
        }
        _ => error.to_string(),
    }
}

async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    listen_on(bind_only(addr).await?)
}

#[cfg(not(sim))]
type Bound = socket2::Socket;
/// The simulated network knows no socket that is bound and does not listen.
#[cfg(sim)]
type Bound = TcpListener;

#[cfg(not(sim))]
async fn bind_only(addr: SocketAddr) -> io::Result<Bound> {
    use socket2::{Domain, Protocol, Type};

    let socket = Bound::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted node takes its port back while old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

#[cfg(not(sim))]
fn listen_on(socket: Bound) -> io::Result<TcpListener> {
    /// Connections that wait to be accepted; beyond it the kernel drops the SYN.
    const BACKLOG: i32 = 1024;

    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(sim)]
async fn bind_only(addr: SocketAddr) -> io::Result<Bound> {
    TcpListener::bind(addr)
}

#[cfg(sim)]
fn listen_on(socket: Bound) -> io::Result<TcpListener> {
    Ok(socket)
}
