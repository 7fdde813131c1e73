//! One question to one server, on a socket that nobody else uses: its port is as hard to guess as the id.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::Transport;
use crate::wire::raw;

/// Asks, and waits for the answer however long it takes. What is no answer to just this question is passed over: somebody
/// may be guessing.
pub(super) async fn ask(server: SocketAddr, transport: Transport, packet: &[u8]) -> io::Result<Vec<u8>> {
    match transport {
        Transport::Udp => by_packet(server, packet).await,
        Transport::Tcp => by_connection(server, packet).await,
    }
}

async fn by_packet(server: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let own: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(packet).await?;
    let mut room = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut room).await?;
        if fits(&room[..length], packet) {
            return Ok(room[..length].to_vec());
        }
    }
}

async fn by_connection(server: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(packet.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(packet);
    stream.write_all(&framed).await?;
    loop {
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        if fits(&answer, packet) {
            return Ok(answer);
        }
    }
}

fn fits(answer: &[u8], question: &[u8]) -> bool {
    raw::id(answer) == raw::id(question) && raw::is_to(answer, question)
}
