//! Questions on connections, each with its length before it (RFC 1035, 4.2.2; RFC 7766).

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::server::{Asker, Outcome};
use crate::upstream::Transport;

/// How long is rested when connections can't be accepted, for want of files as a rule.
const REST: Duration = Duration::from_millis(100);

/// Accepts connections and answers on them, for ever. Beyond the limit a connection waits until another one ends.
pub(crate) async fn listen(asker: Arc<Asker>, listener: TcpListener) {
    loop {
        let Ok(place) = Arc::clone(&asker.connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let asker = Arc::clone(&asker);
                tokio::spawn(async move {
                    if let Err(error) = converse(&asker, stream).await {
                        tracing::debug!(%error, "a connection for names ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for names could not be accepted");
                sleep(REST).await;
            }
        }
    }
}

/// Answers one question after the other, until the asker ends it or says nothing for too long.
async fn converse(asker: &Asker, mut stream: TcpStream) -> io::Result<()> {
    let silence = asker.desk.limits.silence;
    loop {
        let Ok(packet) = timeout(silence, read(&mut stream)).await else { return Ok(()) };
        let Some(packet) = packet? else { return Ok(()) };
        let answer = match asker.consider(&packet, Transport::Tcp, Instant::now()) {
            Outcome::Nothing => return Ok(()),
            Outcome::Answer(answer) => answer,
            Outcome::Ask(waiting) => match waiting.wait(Transport::Tcp).await {
                Some(answer) => answer,
                None => return Ok(()),
            },
        };
        let length = u16::try_from(answer.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        timeout(silence, stream.write_all(&framed)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
    }
}

/// The next packet; `None` at the end.
async fn read(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(Some(packet))
}
