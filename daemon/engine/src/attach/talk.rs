//! A conversation between a caller and a container: his input to it, its output to him, until either is done.

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use trestle_core::{Error, Result};

use super::{DetachKeys, Socket};
use crate::logs::Stream;

/// Which streams are connected, and how they are framed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talk {
    /// Whether the caller's input goes to the container.
    pub stdin: bool,
    /// Whether the output goes to the caller.
    pub stdout: bool,
    /// Whether the errors go to the caller.
    pub stderr: bool,
    /// Whether it is a terminal, whose bytes come as they are; else each piece stands behind its stream and length.
    pub tty: bool,
    /// The keys that end it, where it is a terminal with input.
    pub keys: DetachKeys,
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talked {
    /// The container prints no more.
    Ended,
    /// The caller typed the keys, or hung up.
    Detached,
}

/// Puts a piece into Docker's frame: the stream, three zeros, the length, and what was printed.
pub fn framed(stream: Stream, piece: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(8 + piece.len());
    frame.put_u32((stream as u32) << 24);
    frame.put_u32(u32::try_from(piece.len()).expect("a piece is no longer than a packet"));
    frame.extend_from_slice(piece);
    frame.freeze()
}

/// Talks until the container ends, or the caller has enough. A caller who ends only his input hears the rest.
///
/// # Errors
/// `Internal` where the connection to the monitor broke.
pub async fn talk<S: AsyncRead + AsyncWrite>(caller: S, socket: &Socket, talk: &Talk) -> Result<Talked> {
    let (mut from, mut to) = tokio::io::split(caller);
    let talked = {
        let input = take_input(&mut from, socket, talk);
        let output = give_output(&mut to, socket, talk);
        tokio::pin!(input, output);
        tokio::select! {
            talked = &mut output => talked?,
            typed = &mut input => match typed? {
                Typed::Keys => Talked::Detached,
                Typed::Ended => output.await?,
            },
        }
    };
    // He may be gone by now.
    drop(to.shutdown().await);
    Ok(talked)
}

/// How a caller's input ended.
enum Typed {
    Keys,
    Ended,
}

async fn take_input(from: &mut (impl AsyncRead + Unpin), socket: &Socket, talk: &Talk) -> Result<Typed> {
    let mut keys = talk.keys.clone();
    let mut room = vec![0; 8 << 10];
    let mut listening = talk.stdin;
    loop {
        // A connection that broke is an end, too.
        let length = from.read(&mut room).await.unwrap_or(0);
        if length == 0 {
            if talk.stdin {
                socket.end_input()?;
            }
            return Ok(Typed::Ended);
        }
        if !listening {
            continue;
        }
        let (meant, complete) = match talk.tty {
            true => keys.look(&room[..length]),
            false => (room[..length].to_vec(), false),
        };
        listening = socket.say(&meant).await?;
        if complete {
            return Ok(Typed::Keys);
        }
    }
}

async fn give_output(to: &mut (impl AsyncWrite + Unpin), socket: &Socket, talk: &Talk) -> Result<Talked> {
    while let Some((stream, piece)) = socket.hear().await? {
        let wanted = match stream {
            Stream::Out => talk.stdout,
            Stream::Err => talk.stderr,
        };
        if !wanted {
            continue;
        }
        let piece = if talk.tty { piece } else { framed(stream, &piece) };
        let given = async {
            to.write_all(&piece).await?;
            to.flush().await
        };
        if given.await.is_err() {
            return Ok(Talked::Detached);
        }
    }
    Ok(Talked::Ended)
}

/// Writes pieces of a log to who is about to be attached.
///
/// # Errors
/// `Unavailable` where he is gone.
pub async fn replay(to: &mut (impl AsyncWrite + Unpin), tty: bool, stream: Stream, piece: &Bytes) -> Result<()> {
    let piece = if tty { piece.clone() } else { framed(stream, piece) };
    to.write_all(&piece).await.map_err(|cause| Error::unavailable(format!("the caller is gone: {cause}")))
}
