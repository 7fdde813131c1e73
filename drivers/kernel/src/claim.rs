//! One controller a network namespace: whoever listens on a certain abstract socket (their names are per namespace).

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use trestle_core::{Error, Result};

use crate::dying;

/// The name of the socket; what people see in `ss -xl` is `@trestle.controller`.
const NAME: &[u8] = b"trestle.controller";

/// How long the first controller may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much of what it says is repeated.
const LONGEST: u64 = 500;

/// The claim on the calling thread's network namespace; dropping it gives the namespace up.
pub(crate) struct Claim {
    listener: UnixListener,
    thread: Option<JoinHandle<()>>,
}

impl Claim {
    /// Takes the claim, and tells whoever else wants it who has it. One that is dying is waited for.
    ///
    /// # Errors
    /// `Conflict` naming the controller that has it.
    pub(crate) fn take(description: &str) -> Result<Self> {
        let failed = |cause: io::Error| Error::internal(format!("claiming this network namespace: {cause}"));
        let address = SocketAddr::from_abstract_name(NAME).map_err(failed)?;
        let mut outlived = None;
        let listener = loop {
            match UnixListener::bind_addr(&address) {
                Ok(listener) => break listener,
                Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => {
                    let holder = holder(&address).ok();
                    let is_gone = match holder {
                        Some(holder) if outlived != Some(holder) => dying::outlive(holder).map_err(failed)?,
                        _ => false,
                    };
                    if !is_gone {
                        return Err(taken(&address));
                    }
                    outlived = holder;
                }
                Err(cause) => return Err(failed(cause)),
            }
        };
        let (answering, text) = (listener.try_clone().map_err(failed)?, description.to_owned());
        let thread = thread::Builder::new().name("trestle-claim".into()).stack_size(64 << 10);
        let thread = thread.spawn(move || answer(&answering, &text)).map_err(failed)?;
        Ok(Self { listener, thread: Some(thread) })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Wakes the thread that waits in accept(2).
        if let Err(cause) = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both) {
            tracing::debug!(%cause, "the claim on the network namespace can't be shut down");
            return;
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::debug!("the thread that answered for the claim panicked");
        }
    }
}

fn answer(listener: &UnixListener, description: &str) {
    while let Ok((mut stream, _)) = listener.accept() {
        let told = stream
            .set_write_timeout(Some(PATIENCE))
            .and_then(|()| stream.write_all(description.as_bytes()))
            .and_then(|()| stream.shutdown(Shutdown::Write));
        if let Err(cause) = told {
            tracing::debug!(%cause, "somebody asked who has this network namespace and did not listen");
        }
    }
}

fn taken(address: &SocketAddr) -> Error {
    let who = ask(address).unwrap_or_else(|cause| format!("it does not say which ({cause})"));
    Error::conflict(format!("another controller has this network namespace already: {who}"))
}

/// Whose it is by the kernel's word.
fn holder(address: &SocketAddr) -> io::Result<u32> {
    process(&UnixStream::connect_addr(address)?)
}

fn process(other: &UnixStream) -> io::Result<u32> {
    let credentials = rustix::net::sockopt::socket_peercred(other.as_fd())?;
    Ok(credentials.pid.as_raw_nonzero().get().unsigned_abs())
}

/// The pid is the kernel's word, the rest the other's own.
fn ask(address: &SocketAddr) -> io::Result<String> {
    let stream = UnixStream::connect_addr(address)?;
    let pid = process(&stream)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = Vec::new();
    let complete = stream.take(LONGEST).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    match complete {
        Ok(_) => Ok(format!("pid {pid}, {text}")),
        Err(_) => Ok(format!("pid {pid}")),
    }
}
