//! The other side: drivers and address managers of ours as a plugin, for anything that speaks the protocol.
//!
//! A plugin has to act where our drivers only answer: it makes the link, and tells its name. So a server holds a kernel
//! layer, and keeps in memory what it has made. Whoever asks is as trusted as root: the socket's folder says who may.

mod endpoint;
mod http;
mod ipam;
mod network;
mod read;

pub(crate) use http::answer;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::Mutex;
use trestle_core::driver::Driver;
use trestle_core::entropy::Entropy;
use trestle_core::id::NetworkId;
use trestle_core::ipam::Ipam;
use trestle_core::kernel::Kernel;
use trestle_core::{Error, Result};

use crate::wire::network as wire;
use crate::wire::{Activate, Call, Done, IPAM_DRIVER, Manifest, NETWORK_DRIVER, ipam as addresses};
use network::Served;

/// What is served, and what it stands on.
#[derive(Clone)]
pub struct Offer {
    /// A driver with its name, if one is served.
    pub driver: Option<(String, Arc<dyn Driver>)>,
    /// An address manager, if one is served.
    pub ipam: Option<Arc<dyn Ipam>>,
    /// Makes the driver's plans so.
    pub kernel: Arc<dyn Kernel>,
    /// Where MAC addresses come from.
    pub entropy: Arc<dyn Entropy>,
}

/// A plugin made of ours.
pub struct Server {
    offer: Offer,
    /// Held while something is made or removed: one change after the other, each of them short.
    networks: Mutex<BTreeMap<NetworkId, Served>>,
}

/// Answers on the socket as long as it is polled. Call it within a tokio runtime.
///
/// # Errors
/// `Invalid` for a driver that is a plugin itself: it is served already.
pub async fn serve(offer: Offer, listener: UnixListener) -> Result<()> {
    http::answer(Arc::new(Server::new(offer)?), listener).await;
    Ok(())
}

/// What became of a call.
pub(crate) enum Outcome {
    /// The answer.
    Said(Value),
    /// There is no such method.
    Unknown,
    /// The body could not be read.
    Unreadable(String),
    /// Something that should not went wrong.
    Broken(String),
}

/// Whoever answers calls.
#[async_trait::async_trait]
pub(crate) trait Answering: Send + Sync + 'static {
    /// Does what one call asks for. A refusal is an answer, too.
    async fn call(&self, method: &str, body: &[u8]) -> Outcome;
}

#[async_trait::async_trait]
impl Answering for Server {
    async fn call(&self, method: &str, body: &[u8]) -> Outcome {
        self.do_call(method, body).await
    }
}

impl Server {
    /// A server that has made nothing yet.
    ///
    /// # Errors
    /// As for [`serve`].
    pub fn new(offer: Offer) -> Result<Self> {
        match &offer.driver {
            Some((name, driver)) if driver.capability().external => {
                Err(Error::invalid(format!("driver {name} is a plugin itself, which needs no other to serve it")))
            }
            _ => Ok(Self { offer, networks: Mutex::default() }),
        }
    }

    async fn do_call(&self, method: &str, body: &[u8]) -> Outcome {
        match (method, &self.offer.driver, &self.offer.ipam) {
            (Activate::METHOD, ..) => told::<Activate>(Ok(self.manifest())),
            (_, Some(_), _) if method.starts_with(NETWORK_DRIVER) => self.network_call(method, body).await,
            (_, _, Some(ipam)) if method.starts_with(IPAM_DRIVER) => self.ipam_call(ipam.as_ref(), method, body).await,
            _ => Outcome::Unknown,
        }
    }

    fn manifest(&self) -> Manifest {
        let network = self.offer.driver.as_ref().map(|_| NETWORK_DRIVER.to_owned());
        let ipam = self.offer.ipam.as_ref().map(|_| IPAM_DRIVER.to_owned());
        Manifest { implements: network.into_iter().chain(ipam).collect() }
    }

    async fn network_call(&self, method: &str, body: &[u8]) -> Outcome {
        macro_rules! calls {
            ($($request:ty => |$asked:ident| $answer:expr;)*) => {
                match method {
                    $(<$request as Call>::METHOD => match read::<$request>(body) {
                        Ok($asked) => told::<$request>($answer),
                        Err(why) => Outcome::Unreadable(why),
                    },)*
                    _ => Outcome::Unknown,
                }
            };
        }
        calls! {
            wire::GetCapabilities => |_asked| self.capabilities();
            wire::AllocateNetwork => |asked| Ok(wire::Allocated { options: asked.options });
            wire::FreeNetwork => |_asked| Ok(Done {});
            wire::GwAllocCheck => |_asked| Ok(wire::GwAllocChecked::default());
            wire::CreateNetwork => |asked| self.create_network(&asked).await;
            wire::DeleteNetwork => |asked| self.delete_network(&asked).await;
            wire::CreateEndpoint => |asked| self.create_endpoint(&asked).await;
            wire::DeleteEndpoint => |asked| self.delete_endpoint(&asked.0).await;
            wire::EndpointOperInfo => |asked| self.what_is_known(&asked.0).await;
            wire::Join => |asked| self.join(&asked).await;
            wire::Leave => |asked| self.leave(&asked.0).await;
            wire::ProgramExternalConnectivity => |asked| self.publish(&asked).await;
            wire::RevokeExternalConnectivity => |asked| self.unpublish(&asked.0).await;
            wire::DiscoverNew => |_asked| Ok(Done {});
            wire::DiscoverDelete => |_asked| Ok(Done {});
        }
    }

    async fn ipam_call(&self, ipam: &dyn Ipam, method: &str, body: &[u8]) -> Outcome {
        macro_rules! calls {
            ($($request:ty => |$asked:ident| $answer:expr;)*) => {
                match method {
                    $(<$request as Call>::METHOD => match read::<$request>(body) {
                        Ok($asked) => told::<$request>($answer),
                        Err(why) => Outcome::Unreadable(why),
                    },)*
                    _ => Outcome::Unknown,
                }
            };
        }
        calls! {
            addresses::GetCapabilities => |_asked| Ok(ipam::capabilities(ipam));
            addresses::GetDefaultAddressSpaces => |_asked| Ok(ipam::spaces());
            addresses::RequestPool => |asked| ipam::request_pool(ipam, self.offer.kernel.as_ref(), &asked).await;
            addresses::ReleasePool => |asked| ipam.release_pool(&asked.id).await.map(|()| Done {});
            addresses::RequestAddress => |asked| {
                ipam::request_address(ipam, self.offer.entropy.as_ref(), &asked).await
            };
            addresses::ReleaseAddress => |asked| ipam::release_address(ipam, &asked).await;
        }
    }
}

/// Reads a request. One without a body asks for nothing in particular.
fn read<C: Call + DeserializeOwned + Default>(body: &[u8]) -> std::result::Result<C, String> {
    if !C::HAS_BODY || body.iter().all(u8::is_ascii_whitespace) {
        return Ok(C::default());
    }
    serde_json::from_slice(body).map_err(|error| format!("the request can't be read: {error}"))
}

/// An answer, or a refusal in the field of its kind.
fn told<C: Call>(answer: Result<C::Reply>) -> Outcome
where
    C::Reply: Serialize,
{
    // What the asker sent may stand in it, whole.
    let refused = |error: String| json!({ crate::wire::refusal_field(C::METHOD): crate::client::shown(&error) });
    Outcome::Said(match answer.map(serde_json::to_value) {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => refused(error.to_string()),
        Err(error) => refused(error.to_string()),
    })
}
