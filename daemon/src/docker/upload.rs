//! Archives that a caller sends, for who reads them without waiting for all of it.

use std::io::{self, Read};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::error::Refusal;
use crate::serve::Upload;

/// How many pieces of a body lie ready for its reader.
const AHEAD: usize = 8;

/// A request's body as a blocking reader: for a thread that may wait. A body that breaks off is an error.
#[derive(Debug)]
pub struct Archive {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Archive {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        if let Some(upload) = request.extensions().get::<Upload>() {
            upload.stop_clock();
        }
        let (sender, pieces) = mpsc::channel(AHEAD);
        // It ends with the body, or the connection.
        drop(tokio::spawn(pump(request.into_body(), sender)));
        Ok(Self { pieces, piece: Bytes::new() })
    }
}

/// What nobody wants to read any more is taken in all the same: a client that still sends would not see the answer.
async fn pump(mut body: Body, sender: mpsc::Sender<io::Result<Bytes>>) {
    while let Some(frame) = body.frame().await {
        let piece = match frame.map(|frame| frame.into_data()) {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(_trailers)) => continue,
            Err(error) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the body broke off: {error}"))),
        };
        let broke_off = piece.is_err();
        if sender.send(piece).await.is_err() {
            tracing::trace!("the rest of a body is read for nobody");
        }
        if broke_off {
            return;
        }
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
