//! Many at once.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::examiner::{Examiner, failed};
use super::network::Subject;
use crate::wire::ipam::{GetDefaultAddressSpaces, ReleasePool, RequestAddress, RequestPool};
use crate::wire::network::{DeleteEndpoint, Join, Leave};

/// How many there are at once.
const CROWD: u8 = 16;

impl Examiner {
    /// Many endpoints of one network come and go at once.
    pub(super) async fn try_network_driver_with_a_crowd(&mut self) {
        let subject = Subject { network: self.network_id() };
        if self.succeeds("creates a network for many", &subject.creation()).await.is_none() {
            return;
        }
        let sandbox = self.trial.sandbox.clone();
        let lives = (0..CROWD).map(|number| {
            let (client, id) = (self.another_client(), self.endpoint_id());
            let creation = subject.endpoint(&id, 10 + number);
            let (join, place) = (subject.join(&id, &sandbox), subject.place(&id));
            async move {
                let client = client?;
                client.call(&creation).await.map_err(|failure| failure.to_string())?;
                let joined = client.call(&join).await;
                // They go even if something fails, or the network could not.
                let left = client.call(&Leave(place.clone())).await;
                let deleted = client.call(&DeleteEndpoint(place)).await;
                let joined = joined.map_err(|failure| failure.to_string())?;
                left.and(deleted).map_err(|failure| failure.to_string())?;
                Ok(joined.interface_name.map(|name| name.src_name))
            }
        });
        let outcomes = all::<_, Option<String>>(lives).await;
        let (names, errors) = sorted(outcomes);
        self.note::<Join>("serves many at once", summary(&errors));
        let named: Vec<String> = names.into_iter().flatten().collect();
        let different: BTreeSet<&String> = named.iter().collect();
        let fault = match different.len() == named.len() {
            true => None,
            false => failed("two endpoints have the same SrcName"),
        };
        self.note::<Join>("gives each its own link", fault);
        self.succeeds("deletes the network of many", &subject.deletion()).await;
    }

    /// Many addresses of one pool are asked for at once.
    pub(super) async fn try_ipam_with_a_crowd(&mut self) {
        let spaces = self.client.call(&GetDefaultAddressSpaces {}).await.unwrap_or_default();
        let ask = RequestPool { address_space: spaces.local, ..RequestPool::default() };
        let Some(pool) = self.succeeds("leases a pool for many", &ask).await else { return };
        let leases = (0..CROWD).map(|_| {
            let (client, id) = (self.another_client(), pool.id.clone());
            async move {
                let ask = RequestAddress { id, ..RequestAddress::default() };
                client?.call(&ask).await.map(|leased| leased.address).map_err(|failure| failure.to_string())
            }
        });
        let (addresses, errors) = sorted(all::<_, String>(leases).await);
        self.note::<RequestAddress>("leases to many at once", summary(&errors));
        let different: BTreeSet<&String> = addresses.iter().collect();
        let fault = match different.len() == addresses.len() {
            true => None,
            false => failed("two calls at once were leased the same address"),
        };
        self.note::<RequestAddress>("leases each another address", fault);
        self.succeeds("takes back a pool with addresses out", &ReleasePool { id: pool.id }).await;
    }

    /// A caller with connections of its own, as another daemon would be.
    fn another_client(&self) -> Result<crate::client::Client, String> {
        crate::client::Client::new(self.trial.address.clone(), self.trial.limits).map_err(|error| error.to_string())
    }
}

async fn all<F, T>(work: impl Iterator<Item = F>) -> Vec<Result<T, String>>
where
    F: Future<Output = Result<T, String>> + Send + 'static,
    T: Send + 'static,
{
    let tasks: JoinSet<Result<T, String>> = work.collect();
    tasks.join_all().await
}

fn sorted<T>(outcomes: Vec<Result<T, String>>) -> (Vec<T>, Vec<String>) {
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(it) => right.push(it),
            Err(error) => wrong.push(error),
        }
    }
    (right, wrong)
}

fn summary(errors: &[String]) -> Option<(super::Verdict, String)> {
    let first = errors.first()?;
    failed(format!("{} of {CROWD} at once failed, one of them: {first}", errors.len()))
}
