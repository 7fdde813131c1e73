//! Connections in, answers out: the accept loops, and their end.

mod flow;
mod handshake;
mod limits;
mod listen;
mod takeover;

pub use flow::flow;
pub use limits::{Limits, TooSlow, Upload};
pub use listen::{Listener, bind, socket_group};
pub use takeover::{Raw, Takeover};

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use limits::Awaited;

/// How long to wait after an accept failed for want of memory or file descriptors: at once would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a request came; each one bears it among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// From this machine: the socket's file tells who may.
    Unix,
    /// From the loopback, by anyone.
    Tcp,
    /// From anywhere, by whoever has a certificate.
    Tls,
}

/// Answers on all listeners until `stopping` turns true; then finishes the requests that are under way, and ends.
pub async fn serve(listeners: Vec<Listener>, router: Router, limits: Limits, stopping: watch::Receiver<bool>) {
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(accept(listener, router.clone(), limits, stopping.clone()));
    }
    while loops.join_next().await.is_some() {}
}

async fn accept(listener: Listener, router: Router, limits: Limits, mut stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let told = stopping.clone();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok(stream) => {
                    connections.spawn(converse(stream, router.clone(), limits, told.clone()));
                }
                // Whoever has hung up again already is nobody's trouble.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, %listener, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            // Ended ones are taken out, or they would pile up.
            Some(_) = connections.join_next() => {}
            () = told_to_stop(&mut stopping) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One connection, from its handshake to its end.
async fn converse(stream: listen::Stream, router: Router, limits: Limits, mut stopping: watch::Receiver<bool>) {
    let ended = match stream {
        listen::Stream::Unix(stream) => answer(stream, Wire::Unix, router, limits, stopping).await,
        listen::Stream::Tcp(stream, None) => answer(stream, Wire::Tcp, router, limits, stopping).await,
        listen::Stream::Tcp(stream, Some(tls)) => {
            let shaken = tokio::select! {
                shaken = handshake::shake(tls, stream, limits) => shaken,
                () = told_to_stop(&mut stopping) => return,
            };
            let Some(stream) = shaken else { return };
            answer(stream, Wire::Tls, router, limits, stopping).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer<S>(
    stream: S,
    wire: Wire,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, mut takeovers) = mpsc::channel(1);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let upload = Upload::default();
        request.extensions_mut().insert(wire);
        request.extensions_mut().insert(upload.clone());
        let mut router = router.clone();
        let sender = sender.clone();
        let request = request.map(|body| Body::new(Awaited::new(body, limits.body, upload)));
        async move {
            let mut response = Service::<Request<Body>>::call(&mut router, request).await?;
            if let Some(takeover) = takeover::of(&mut response) {
                // Where nobody listens any more, nobody polls this either.
                drop(sender.send((response.into_parts().0, takeover)).await);
                return pending().await;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = &mut connection => return ended.map_err(io::Error::other),
        Some((head, takeover)) = takeovers.recv() => {
            let parts = connection.into_parts();
            let raw = Raw::new(parts.read_buf, parts.io.into_inner());
            return tokio::select! {
                ended = takeover.begin(head, raw) => ended,
                () = told_to_stop(&mut stopping) => Ok(()),
            };
        }
        () = told_to_stop(&mut stopping) => std::pin::Pin::new(&mut connection).graceful_shutdown(),
    }
    // Who has not sent his request by now may never do so, and keeps nobody waiting; work under way is waited for by
    // whoever stops the daemon.
    match tokio::time::timeout(limits.farewell, connection).await {
        Ok(ended) => ended.map_err(io::Error::other),
        Err(_) => {
            tracing::info!("a caller did not finish his request before the daemon stopped");
            Ok(())
        }
    }
}

/// Waits until the daemon stops; it does so too when nobody is left who could say it.
pub async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}
