//! The name service's contract: sockets that were opened in a sandbox, and whoever answers at them.

use std::net::{TcpListener, UdpSocket};

use crate::error::Result;
use crate::id::SandboxId;

/// The sockets at which a sandbox asks for names. They were opened inside its namespace, and keep that alive.
#[derive(Debug, Default)]
pub struct NameSockets {
    /// One a family; they don't block.
    pub udp: Vec<UdpSocket>,
    /// One a family; they listen and don't block.
    pub tcp: Vec<TcpListener>,
}

/// Answers questions for names. The kernel layer hands it the sockets; what it answers it knows from elsewhere.
pub trait NameService: Send + Sync {
    /// Answers what a sandbox asks at these sockets, in place of those that it was given before.
    ///
    /// # Errors
    /// If the sockets can't be listened to; then they are closed.
    fn serve(&self, sandbox: SandboxId, sockets: NameSockets) -> Result<()>;

    /// Closes a sandbox's sockets; fine if it has none.
    fn stop(&self, sandbox: SandboxId);
}
