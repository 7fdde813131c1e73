//! One TCP connection, relayed to the container. Each direction ends on its own, as the two ends wish.

use std::io;
use std::net::{SocketAddr, TcpStream as Accepted};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::relay::{Places, let_go};

/// Relays a connection on a task of its own, until it ends or its port is let go.
pub(super) fn relay(client: Accepted, from: SocketAddr, mut places: watch::Receiver<Option<Places>>, number: u16) {
    let now = *places.borrow();
    let towards: Vec<SocketAddr> = now.into_iter().flat_map(|it| it.towards(from, number)).collect();
    tokio::spawn(async move {
        tokio::select! {
            done = carry(client, &towards) => if let Err(cause) = done {
                tracing::debug!(%from, ?towards, %cause, "a relayed connection ended");
            },
            () = let_go(&mut places) => {}
        }
    });
}

async fn carry(client: Accepted, towards: &[SocketAddr]) -> io::Result<()> {
    let mut client = TcpStream::from_std(client)?;
    let mut container = match connect(towards).await {
        Ok(container) => container,
        Err(cause) => {
            // The client sees its connection refused, late, rather than an empty answer.
            rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO))?;
            return Err(cause);
        }
    };
    client.set_nodelay(true)?;
    container.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut container).await.map(|_| ())
}

async fn connect(towards: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in towards {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(cause) => last = cause,
        }
    }
    Err(last)
}
