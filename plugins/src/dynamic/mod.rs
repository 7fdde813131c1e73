//! Plugins as dynamic libraries: a C interface with a version, and the bodies of the plugin protocol as bytes.
//!
//! `include/trestle_plugin.h` says it for authors in C; [`export_plugin!`](crate::export_plugin) does it for those in
//! Rust. A library runs inside the daemon: it is trusted as the daemon is, and so it has to be root's. Who does not
//! want that lets [`serve_library`] run it in a process of its own, which is then a plugin like any other.

pub mod abi;
mod library;

pub(crate) use library::Library;

use std::path::Path;
use std::sync::Arc;

use tokio::net::UnixListener;
use trestle_core::{Error, Result};

use crate::serve::Outcome;

/// Answers on the socket with what a library answers, as long as it is polled. Call it within a tokio runtime, in a
/// process that may crash.
///
/// # Errors
/// `Invalid` says why the file is no plugin; `Forbidden` whose it is or who may write to it.
pub async fn serve_library(path: &Path, listener: UnixListener) -> Result<()> {
    let path = path.to_owned();
    let library = tokio::task::spawn_blocking(move || Library::load(&path)).await;
    let library = Arc::new(library.map_err(|error| Error::internal(error.to_string()))??);
    crate::serve::answer(Arc::new(Isolated(library)), listener).await;
    Ok(())
}

struct Isolated(Arc<Library>);

#[async_trait::async_trait]
impl crate::serve::Answering for Isolated {
    async fn call(&self, method: &str, body: &[u8]) -> Outcome {
        let (library, method, body) = (Arc::clone(&self.0), method.to_owned(), body.to_vec());
        let answer = tokio::task::spawn_blocking(move || library.call(&method, &body)).await;
        match answer {
            Ok(Ok(Some(body))) => match serde_json::from_slice(&body) {
                Ok(answer) => Outcome::Said(answer),
                Err(error) => Outcome::Broken(format!("the library's answer is no JSON: {error}")),
            },
            Ok(Ok(None)) => Outcome::Unknown,
            Ok(Err(why)) => Outcome::Broken(why),
            Err(error) => Outcome::Broken(error.to_string()),
        }
    }
}
