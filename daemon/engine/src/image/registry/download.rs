//! One blob into a file: checked, and taken up again where it broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use trestle_core::error::{Doing, Error, ErrorKind, Result};
use trestle_core::surroundings::Clock;

use super::client;
use super::session::Session;
use crate::image::digest::{Digest, Digesting};
use crate::image::manifest::Descriptor;

/// How often it is tried without a byte gained.
const TRIES: u32 = 5;

/// Between two of these; each time as long again.
const PAUSE: Duration = Duration::from_secs(1);

/// A blob on its way into a file, which keeps what has come until it is whole.
pub(super) struct Download<'a> {
    pub(super) session: &'a Session,
    pub(super) blob: &'a Descriptor,
    pub(super) path: PathBuf,
    pub(super) clock: &'a dyn Clock,
}

impl Download<'_> {
    /// Fetches what is missing; `tell` hears how many bytes have come. The file is whole, and what its digest says.
    ///
    /// # Errors
    /// `NotFound` if the registry has it not, `Unavailable` if it breaks off again and again (what has come stays for
    /// the next time), `Invalid` if it is another than was named (nothing stays).
    pub(super) async fn run(&self, tell: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let mut failures = 0;
        loop {
            let before = self.length()?;
            match self.fetch(tell).await {
                Ok(()) => return self.check().await,
                Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error),
                Err(error) => {
                    failures = if self.length()? > before { 1 } else { failures + 1 };
                    if failures >= TRIES {
                        return Err(error).doing(|| format!("fetching {}", self.blob.digest));
                    }
                    tracing::debug!(blob = %self.blob.digest, %error, "a download broke off, and is taken up again");
                    self.clock.sleep(PAUSE * failures).await;
                }
            }
        }
    }

    async fn fetch(&self, tell: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let here = self.length()?;
        if here == self.blob.size {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        if here > 0 && here < self.blob.size {
            let range = HeaderValue::try_from(format!("bytes={here}-"));
            headers.insert(RANGE, range.map_err(|error| Error::internal(error.to_string()))?);
        }
        let answer = self.session.get(&format!("blobs/{}", self.blob.digest), &headers).await?;
        let goes_on = answer.status() == StatusCode::PARTIAL_CONTENT && begins_at(answer.headers(), here);
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            self.discard()?;
            return Err(Error::unavailable("the registry does not go on where it broke off"));
        }
        self.append(if goes_on { here } else { 0 }, answer.into_body(), tell).await
    }

    async fn append(&self, from: u64, mut body: Incoming, tell: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.path)
            .and_then(|mut file| {
                file.set_len(from)?;
                file.seek(SeekFrom::Start(from))?;
                Ok(file)
            })
            .map_err(|error| self.failed(&error))?;
        let mut length = from;
        while let Some(piece) = client::next_piece(&mut body).await? {
            length += piece.len() as u64;
            if length > self.blob.size {
                self.discard()?;
                let (digest, size) = (self.blob.digest, self.blob.size);
                return Err(Error::invalid(format!(
                    "{digest} is longer than the {size} bytes that its manifest tells"
                )));
            }
            file.write_all(&piece).map_err(|error| self.failed(&error))?;
            tell(length);
        }
        match length == self.blob.size {
            true => Ok(()),
            false => {
                Err(Error::unavailable(format!("the registry broke off after {length} of {} bytes", self.blob.size)))
            }
        }
    }

    async fn check(&self) -> Result<()> {
        let path = self.path.clone();
        let digest = tokio::task::spawn_blocking(move || digest(&path)).await;
        let digest =
            digest.map_err(|error| Error::internal(error.to_string()))?.map_err(|error| self.failed(&error))?;
        if digest == self.blob.digest {
            return Ok(());
        }
        self.discard()?;
        let cause = format!("filesystem layer verification failed for digest {}", self.blob.digest);
        Err(Error::invalid(format!("{cause}: it is {digest}")))
    }

    fn length(&self) -> Result<u64> {
        match fs::metadata(&self.path) {
            Ok(found) => Ok(found.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn discard(&self) -> Result<()> {
        fs::remove_file(&self.path).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Error {
        Error::internal(format!("{}: {error}", self.path.display()))
    }
}

fn digest(path: &Path) -> io::Result<Digest> {
    let mut reading = Digesting::new(File::open(path)?);
    io::copy(&mut reading, &mut io::sink())?;
    Ok(reading.finish().0)
}

/// `Content-Range: bytes 200-1000/1001`.
fn begins_at(headers: &HeaderMap, offset: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}
