//! Asking a plugin: one call at a time on a connection, with a deadline, a size limit, and few tries.

mod address;
mod failure;
mod link;
mod tls;

pub use address::{Address, TlsFiles};
pub use failure::Failure;
pub(crate) use failure::shown;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use trestle_core::Result;

use crate::dynamic::Library;
use crate::wire::{Call, Done, refusal_field};
pub(crate) use link::Answer;
use link::Link;

/// How much a plugin may ask of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long one call may take, all its tries together.
    pub deadline: Duration,
    /// How many bytes an answer may have.
    pub largest: usize,
    /// How often a call is tried at most. Only a failure of the connection is worth another try.
    pub tries: u32,
    /// How long to wait before the second try; twice as long before each next one.
    pub first_wait: Duration,
    /// How long to wait between two tries at most.
    pub longest_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            largest: 1 << 20,
            tries: 4,
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(2),
        }
    }
}

/// How many connections are kept open between calls.
const MOST_IDLE: usize = 4;

/// A caller of one plugin. Calls don't wait for each other: a plugin may call us back, and ask us things that make us
/// call it again.
#[derive(Debug)]
pub struct Client {
    address: Address,
    tls: Option<tls::Greeting>,
    library: Option<Arc<Library>>,
    limits: Limits,
    idle: Mutex<Vec<Link>>,
}

impl Client {
    /// A caller of the plugin at this address. Reads the files that the address names; connects only when there is
    /// something to ask.
    ///
    /// # Errors
    /// `Invalid` names the file that can't be used, and why; `Forbidden` a library that others may have written.
    pub fn new(address: Address, limits: Limits) -> Result<Self> {
        let tls = tls::Greeting::towards(&address)?;
        let library = match &address {
            Address::Library(path) => Some(Arc::new(Library::load(path)?)),
            _ => None,
        };
        Ok(Self { address, tls, library, limits, idle: Mutex::default() })
    }

    /// Where the plugin is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Asks, and waits for the answer until the deadline.
    pub async fn call<C: Call>(&self, request: &C) -> Result<C::Reply, Failure> {
        let body = match C::HAS_BODY {
            false => Bytes::new(),
            true => written(request)?,
        };
        let mut last = None;
        let answer = tokio::time::timeout(self.limits.deadline, self.try_often(C::METHOD, &body, &mut last)).await;
        let answer = answer.unwrap_or(Err(Failure::Late { limit: self.limits.deadline, before: last }))?;
        understand(C::METHOD, &answer)
    }

    /// Sends a body of any kind, once, and answers with what came back.
    pub(crate) async fn send(&self, method: &str, body: &str) -> Result<Answer, Failure> {
        let body = Bytes::from(body.to_owned());
        let answer = tokio::time::timeout(self.limits.deadline, self.try_once(method, &body));
        answer.await.unwrap_or(Err(Failure::Late { limit: self.limits.deadline, before: None }))
    }

    /// Sends a body of any kind, once, and reads whether it was refused.
    pub(crate) async fn ask_text(&self, method: &str, body: &str) -> Result<(), Failure> {
        let answer = self.send(method, body).await?;
        understand::<Done>(method, &answer).map(|Done {}| ())
    }

    async fn try_often(&self, method: &str, body: &Bytes, last: &mut Option<String>) -> Result<Answer, Failure> {
        let mut wait = self.limits.first_wait;
        let mut tries = 1;
        loop {
            match self.try_once(method, body).await {
                Err(Failure::Unreachable(why)) if tries < self.limits.tries => {
                    tracing::debug!(address = %self.address, method, why, "asking the plugin once more");
                    *last = Some(why);
                }
                outcome => return outcome,
            }
            tokio::time::sleep(wait).await;
            wait = self.limits.longest_wait.min(wait * 2);
            tries += 1;
        }
    }

    /// One try, with the whole body: on a kept connection, if there is one that was not closed meanwhile.
    async fn try_once(&self, method: &str, body: &Bytes) -> Result<Answer, Failure> {
        if let Some(library) = &self.library {
            return self.ask_library(library, method, body).await;
        }
        let mut link = None;
        while let Some(mut kept) = self.take_idle() {
            if kept.is_ready().await {
                link = Some(kept);
                break;
            }
        }
        let mut link = match link {
            Some(link) => link,
            None => Link::open(&self.address, self.tls.as_ref()).await?,
        };
        let outcome = link.ask(&self.address, method, body.clone(), self.limits.largest).await;
        self.keep(link, outcome)
    }

    /// A library is asked on a thread of its own, for it may take its time. One that never comes back keeps the thread.
    async fn ask_library(&self, library: &Arc<Library>, method: &str, body: &Bytes) -> Result<Answer, Failure> {
        let (library, method, body) = (Arc::clone(library), method.to_owned(), body.clone());
        let answer = tokio::task::spawn_blocking(move || library.call(&method, &body)).await;
        let answered = |status, body| Answer { status, content_type: Some("a library's answer".to_owned()), body };
        match answer.map_err(|error| Failure::Garbled(error.to_string()))? {
            Ok(Some(body)) if body.len() > self.limits.largest => Err(Failure::TooLarge(self.limits.largest)),
            Ok(Some(body)) => Ok(answered(200, body)),
            Ok(None) => Ok(answered(404, b"the library does not know the method".to_vec())),
            Err(why) => Ok(answered(500, why.into_bytes())),
        }
    }

    /// Keeps the connection for the next call, if the answer was read to its end.
    fn keep(&self, link: Link, outcome: Result<Answer, Failure>) -> Result<Answer, Failure> {
        let mut idle = self.idle();
        if outcome.is_ok() && link.is_open() && idle.len() < MOST_IDLE {
            idle.push(link);
        }
        outcome
    }

    /// A kept connection. Nothing stays locked while it is used.
    fn take_idle(&self) -> Option<Link> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Link>> {
        // Whoever panicked with it in hand had pushed or popped, or not.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// JSON with a newline after it, as Go writes it.
fn written<C: Call>(request: &C) -> Result<Bytes, Failure> {
    let mut body = serde_json::to_vec(request).map_err(|error| Failure::Garbled(format!("our request: {error}")))?;
    body.push(b'\n');
    Ok(body.into())
}

/// What an answer says, or what is wrong with it.
fn understand<R: serde::de::DeserializeOwned + Default>(method: &str, answer: &Answer) -> Result<R, Failure> {
    let refusal = refusal(method, &answer.body);
    if answer.status != 200 {
        let text = refusal.ok().flatten().unwrap_or_else(|| failure::shown(&String::from_utf8_lossy(&answer.body)));
        return Err(Failure::Status { code: answer.status, text });
    }
    if let Some(text) = refusal.map_err(|why| garbled(answer, &why))? {
        return Err(Failure::Refused(text));
    }
    let reply: Option<R> = serde_json::from_slice(&answer.body).map_err(|error| garbled(answer, &error.to_string()))?;
    Ok(reply.unwrap_or_default())
}

/// The error that the answer tells, if it tells one.
fn refusal(method: &str, body: &[u8]) -> Result<Option<String>, String> {
    let answer: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    // Whatever the method, an answer that is not 200 says `Err`; where it is 200, kinds differ.
    let told = answer.as_ref().and_then(|answer| answer.get(refusal_field(method)).or_else(|| answer.get("Err")));
    let told = told.and_then(|told| told.as_str()).filter(|told| !told.is_empty());
    Ok(told.map(failure::shown))
}

fn garbled(answer: &Answer, why: &str) -> Failure {
    if answer.body.is_empty() {
        return Failure::Garbled("an empty body; at least {} is expected".to_owned());
    }
    let kind = answer.content_type.as_deref().map_or_else(|| "no content type".to_owned(), failure::shown);
    let begins = failure::shown(&String::from_utf8_lossy(&answer.body[..answer.body.len().min(80)]));
    Failure::Garbled(format!("no answer in JSON ({why}), but {kind}, {} bytes: {begins:?}", answer.body.len()))
}
