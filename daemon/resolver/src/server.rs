//! The way of a question: from its packet to an answer, from the directory or from others.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hickory_proto::op::ResponseCode;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use trestle_core::id::SandboxId;
use trestle_core::name_service::{NameService, NameSockets};
use trestle_core::{Error, Result};

use crate::answering::{Said, say};
use crate::directory::Directory;
use crate::limits::{Counted, Limits, Meter};
use crate::tcp;
use crate::upstream::{Errand, Transport, Upstream};
use crate::wire::question::{Fault, Question};
use crate::wire::{LARGEST_DATAGRAM, LARGEST_MESSAGE, answer};

/// How many packets of one socket are answered before others have their turn.
const IN_A_ROW: usize = 64;

/// Answers at the sockets of every sandbox.
pub struct Server {
    runtime: Handle,
    desk: Arc<Desk>,
    serving: Mutex<HashMap<SandboxId, Vec<AbortHandle>>>,
}

/// What every socket's task has at hand.
pub(crate) struct Desk {
    directory: Directory,
    upstream: Arc<Upstream>,
    meter: Arc<dyn Meter>,
    pub(crate) limits: Limits,
    forwards: Arc<Semaphore>,
    turn: AtomicUsize,
}

/// One sandbox, as its sockets' tasks know it.
pub(crate) struct Asker {
    pub(crate) desk: Arc<Desk>,
    pub(crate) sandbox: SandboxId,
    forwards: Arc<Semaphore>,
    pub(crate) connections: Arc<Semaphore>,
}

/// What becomes of a packet.
pub(crate) enum Outcome {
    /// Nothing.
    Nothing,
    /// It is answered so.
    Answer(Vec<u8>),
    /// Others are asked.
    Ask(Box<Waiting>),
}

/// A question that waits for others' answers.
pub(crate) struct Waiting {
    errand: Errand,
    question: Question,
    upstream: Arc<Upstream>,
    _room: [OwnedSemaphorePermit; 2],
}

impl Server {
    /// Answers from this directory, on this runtime.
    pub fn new(
        runtime: Handle,
        directory: Directory,
        upstream: Arc<Upstream>,
        limits: Limits,
        meter: Arc<dyn Meter>,
    ) -> Self {
        let forwards = Arc::new(Semaphore::new(limits.forwards));
        let desk = Desk { directory, upstream, meter, limits, forwards, turn: AtomicUsize::new(0) };
        Self { runtime, desk: Arc::new(desk), serving: Mutex::default() }
    }
}

impl NameService for Server {
    fn serve(&self, sandbox: SandboxId, sockets: NameSockets) -> Result<()> {
        self.stop(sandbox);
        let limits = self.desk.limits;
        let asker = Arc::new(Asker {
            desk: Arc::clone(&self.desk),
            sandbox,
            forwards: Arc::new(Semaphore::new(limits.forwards_of_one)),
            connections: Arc::new(Semaphore::new(limits.connections_of_one)),
        });
        let _listening = self.runtime.enter();
        let refused = |error: io::Error| Error::internal(format!("listening to a sandbox's questions: {error}"));
        let mut tasks = Vec::with_capacity(4);
        for socket in sockets.udp {
            let socket = Arc::new(UdpSocket::from_std(socket).map_err(refused)?);
            tasks.push(self.runtime.spawn(Arc::clone(&asker).listen(socket)).abort_handle());
        }
        for listener in sockets.tcp {
            let listener = TcpListener::from_std(listener).map_err(refused)?;
            tasks.push(self.runtime.spawn(tcp::listen(Arc::clone(&asker), listener)).abort_handle());
        }
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).insert(sandbox, tasks);
        Ok(())
    }

    fn stop(&self, sandbox: SandboxId) {
        let tasks = self.serving.lock().unwrap_or_else(PoisonError::into_inner).remove(&sandbox);
        tasks.into_iter().flatten().for_each(|task| task.abort());
    }
}

impl Asker {
    /// Answers at a socket of UDP, for ever.
    async fn listen(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut room = vec![0; LARGEST_DATAGRAM];
        loop {
            if let Err(error) = socket.readable().await {
                tracing::error!(%error, "questions can't be waited for");
                return;
            }
            for _ in 0..IN_A_ROW {
                match socket.try_recv_from(&mut room) {
                    Ok((length, from)) => self.take(&socket, &room[..length], from).await,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Who asked before is gone, and his system says so.
                    Err(error) => tracing::debug!(%error, "receiving a question"),
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn take(&self, socket: &Arc<UdpSocket>, packet: &[u8], from: SocketAddr) {
        match self.consider(packet, Transport::Udp, Instant::now()) {
            Outcome::Nothing => {}
            Outcome::Answer(answer) => send(socket, &answer, from).await,
            Outcome::Ask(waiting) => {
                let socket = Arc::clone(socket);
                tokio::spawn(async move {
                    if let Some(answer) = waiting.wait(Transport::Udp).await {
                        send(&socket, &answer, from).await;
                    }
                });
            }
        }
    }

    /// Answers what can be answered at once.
    pub(crate) fn consider(&self, packet: &[u8], transport: Transport, now: Instant) -> Outcome {
        let desk = &self.desk;
        let question = match Question::read(packet) {
            Ok(question) => question,
            Err(fault) => {
                desk.meter.count(Counted::Malformed);
                return match fault {
                    Fault::Untold => Outcome::Nothing,
                    Fault::Told(id, code) => told(answer::write_fault(id, code)),
                };
            }
        };
        let say_so = |code, facts: &[_]| told(answer::write(&question, code, facts, limit(&question, transport)));
        if question.edns.is_some_and(|told| told.version != 0) {
            return say_so(ResponseCode::BADVERS, &[]);
        }
        let turn = desk.turn.fetch_add(1, Ordering::Relaxed);
        let (said, naming) = {
            let picture = desk.directory.look();
            let said = say(&picture, self.sandbox, &question, turn);
            let naming = matches!(said, Said::Unknown).then(|| picture.naming(self.sandbox)).flatten();
            (said, naming)
        };
        if let Said::Answer(code, facts) = said {
            desk.meter.count(Counted::Local);
            return say_so(code, &facts);
        }
        let servers = desk.upstream.servers_for(naming.as_deref(), question.name.as_deref());
        let Some(errand) = desk.upstream.errand(packet, transport, servers) else {
            return say_so(ResponseCode::FormErr, &[]);
        };
        if let Some(kept) = desk.upstream.kept(&errand, now) {
            desk.meter.count(Counted::Kept);
            return Outcome::Answer(kept);
        }
        let room = [&self.forwards, &desk.forwards].map(|room| Arc::clone(room).try_acquire_owned().ok());
        let [Some(own), Some(all)] = room else {
            desk.meter.count(Counted::Refused);
            return say_so(ResponseCode::Refused, &[]);
        };
        let upstream = Arc::clone(&desk.upstream);
        Outcome::Ask(Box::new(Waiting { errand, question, upstream, _room: [own, all] }))
    }
}

impl Waiting {
    /// The answer of others, or that none of them answers.
    pub(crate) async fn wait(self: Box<Self>, transport: Transport) -> Option<Vec<u8>> {
        match self.upstream.ask(&self.errand).await {
            Some(answer) => Some(answer),
            None => answer::write(&self.question, ResponseCode::ServFail, &[], limit(&self.question, transport)),
        }
    }
}

fn limit(question: &Question, transport: Transport) -> usize {
    match transport {
        Transport::Udp => question.limit(),
        Transport::Tcp => LARGEST_MESSAGE,
    }
}

fn told(answer: Option<Vec<u8>>) -> Outcome {
    answer.map_or(Outcome::Nothing, Outcome::Answer)
}

async fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    let sent = match socket.try_send_to(answer, to) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.send_to(answer, to).await,
        sent => sent,
    };
    if let Err(error) = sent {
        tracing::debug!(%error, %to, "an answer could not be sent");
    }
}
