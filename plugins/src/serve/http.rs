//! Connections in, answers out.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::{Answering, Outcome};
use crate::wire::MEDIA_TYPE;

/// The largest request, in bytes.
const LARGEST: usize = 8 << 20;

/// How long a caller may take to send a request's head. Idle connections are closed after it.
const HEAD_PATIENCE: Duration = Duration::from_secs(60);

/// How long a request's body may take.
const BODY_PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait after an accept failed for want of memory or file descriptors: at once would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers as long as it is polled; connections end with it.
pub(crate) async fn answer(server: Arc<impl Answering>, listener: UnixListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let server = Arc::clone(&server);
                    connections.spawn(async move {
                        let service = service_fn(|request| respond(Arc::clone(&server), request));
                        let mut builder = http1::Builder::new();
                        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
                        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                            tracing::debug!(%error, "a caller's connection broke");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            // Ended ones are taken out, or they would pile up.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What was begun is finished, whatever becomes of the caller.
async fn respond(server: Arc<impl Answering>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let method = request.uri().path().trim_start_matches('/').to_owned();
    if request.method() != Method::POST {
        return Ok(refused(StatusCode::METHOD_NOT_ALLOWED, "plugins are called by POST"));
    }
    let too_large = || refused(StatusCode::PAYLOAD_TOO_LARGE, &format!("a request has at most {LARGEST} bytes"));
    if request.body().size_hint().lower() > LARGEST as u64 {
        return Ok(too_large());
    }
    let body = Limited::new(request.into_body(), LARGEST).collect();
    let body = match tokio::time::timeout(BODY_PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Ok(too_large()),
        Ok(Err(error)) => return Ok(refused(StatusCode::BAD_REQUEST, &error.to_string())),
        Err(_) => return Ok(refused(StatusCode::REQUEST_TIMEOUT, "the body did not come")),
    };
    let work = tokio::spawn(async move { server.call(&method, &body).await });
    Ok(match work.await {
        Ok(Outcome::Said(answer)) => said(StatusCode::OK, &answer),
        Ok(Outcome::Unknown) => refused(StatusCode::NOT_FOUND, "there is no such method"),
        Ok(Outcome::Unreadable(why)) => refused(StatusCode::BAD_REQUEST, &why),
        Ok(Outcome::Broken(why)) => refused(StatusCode::INTERNAL_SERVER_ERROR, &why),
        Err(error) => {
            tracing::error!(%error, "a call was not finished");
            refused(StatusCode::INTERNAL_SERVER_ERROR, "the call was not finished; the server's log says why")
        }
    })
}

fn refused(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    said(status, &json!({ "Err": why }))
}

fn said(status: StatusCode, answer: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{answer}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}
