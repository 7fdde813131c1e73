//! One TCP connection, relayed to the container. Each direction ends on its own, as the two ends wish.

use std::io;
use std::net::{SocketAddr, TcpStream as Accepted};
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::binding::{Places, let_go};
use super::room::Place;

/// How long the container may take to answer at one of its addresses.
const ANSWER: Duration = Duration::from_secs(5);

/// After how long a silent connection is asked for a sign of life: whoever vanished must not keep its place for ever.
const SILENT: Duration = Duration::from_secs(120);

/// Relays a connection on a task of its own, until it ends or its port is let go.
pub(super) fn relay(
    client: Accepted,
    from: SocketAddr,
    mut places: watch::Receiver<Option<Places>>,
    number: u16,
    place: Place,
) {
    let now = *places.borrow();
    let towards: Vec<SocketAddr> = now.into_iter().flat_map(|it| it.towards(from, number)).collect();
    tokio::spawn(async move {
        let _place = place;
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
            reset(&client)?;
            return Err(cause);
        }
    };
    for stream in [&client, &container] {
        rustix::net::sockopt::set_socket_keepalive(stream, true)?;
        rustix::net::sockopt::set_tcp_keepidle(stream, SILENT)?;
    }
    client.set_nodelay(true)?;
    container.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut container).await.map(|_| ())
}

/// Has a connection reset when it is closed.
pub(super) fn reset(stream: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?)
}

async fn connect(towards: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in towards {
        match timeout(ANSWER, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(cause)) => last = cause,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_container_that_does_not_answer_is_not_waited_for_for_ever() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        // It drops whoever comes when its queue is full.
        rustix::net::listen(&silent, 0).unwrap();
        let address = silent.local_addr().unwrap();
        let _queued = std::net::TcpStream::connect(address).unwrap();
        let outcome = connect(&[address]).await;
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
