//! Reads a log: all of it or its last lines, between two moments, and further while the container runs.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use trestle_core::{Error, Result};

use super::follow::Growth;
use super::line::{Line, Stream};

/// How much is read at once while the beginning of the last lines is looked for, in bytes.
const BLOCK: u64 = 64 << 10;

/// What is asked of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// Whether the output is wanted.
    pub stdout: bool,
    /// Whether the errors are wanted.
    pub stderr: bool,
    /// From when on.
    pub since: Option<SystemTime>,
    /// Until when.
    pub until: Option<SystemTime>,
    /// How many lines at most of what is there already.
    pub tail: Option<u64>,
    /// Whether each line is told with its time.
    pub timestamps: bool,
    /// Whether what will be printed is wanted too.
    pub follow: bool,
}

/// A piece of a log on its way.
pub type Piece = (Stream, Bytes);

/// Reads a log into a channel; it ends with the log, or, where it is followed, with the container's run.
///
/// `running` is true as long as the container runs.
///
/// # Errors
/// `Internal`, with the path. Who hangs up ends it without an error.
pub async fn read(
    path: PathBuf,
    request: LogRequest,
    mut running: watch::Receiver<bool>,
    pieces: mpsc::Sender<Piece>,
) -> Result<()> {
    let mut log = match open(&path, request.tail).await? {
        Some(log) => log,
        None => return Ok(()),
    };
    // Watched first, so that nothing is written between the last look and the first wait.
    let growth = request.follow.then(|| Growth::of(&path)).transpose()?;
    loop {
        let was_running = *running.borrow_and_update();
        let (back, goes_on) = drain(log, &request, &pieces).await?;
        log = back;
        let Some(growth) = growth.as_ref().filter(|_| goes_on && was_running) else { return Ok(()) };
        tokio::select! {
            grown = growth.happens() => grown?,
            changed = running.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            () = pieces.closed() => return Ok(()),
        }
    }
}

/// A log, and the beginning of a line that was not there whole.
struct Open {
    file: BufReader<File>,
    rest: Vec<u8>,
}

/// Opens a log where its last lines begin; `None` where nothing was ever printed.
async fn open(path: &Path, tail: Option<u64>) -> Result<Option<Open>> {
    let owned = path.to_owned();
    let open = move || -> io::Result<Option<Open>> {
        let mut file = match File::open(&owned) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if let Some(lines) = tail {
            let start = start_of_last(&mut file, lines)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Some(Open { file: BufReader::new(file), rest: Vec::new() }))
    };
    blocking(open).await.map_err(|cause| Error::internal(format!("reading {}: {cause}", path.display())))
}

/// Where the last so many lines begin. A line in parts is one line.
fn start_of_last(file: &mut (impl Read + Seek), lines: u64) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(end);
    }
    let mut text: Vec<u8> = Vec::new();
    let mut start = end;
    while start > 0 {
        let length = BLOCK.min(start);
        start -= length;
        file.seek(SeekFrom::Start(start))?;
        let mut block = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact(&mut block)?;
        block.append(&mut text);
        text = block;
        if let Some(offset) = nth_from_end(&text, lines, start == 0) {
            return Ok(start + offset);
        }
    }
    Ok(0)
}

/// Where the last so many whole lines of a text begin, if they are all in it. The first line counts only if it is whole.
fn nth_from_end(text: &[u8], lines: u64, is_all: bool) -> Option<u64> {
    let mut starts = Vec::new();
    let mut offset = 0;
    let mut goes_on = false;
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let whole = number > 0 || is_all;
        if whole && !goes_on {
            starts.push(offset);
        }
        goes_on = whole && Line::read(line.strip_suffix(b"\n").unwrap_or(line)).is_some_and(|it| it.partial);
        offset += line.len();
    }
    let place = starts.len().checked_sub(usize::try_from(lines).ok()?)?;
    u64::try_from(*starts.get(place)?).ok()
}

/// Sends every line that is there; whether more may be wanted.
async fn drain(mut log: Open, request: &LogRequest, pieces: &mpsc::Sender<Piece>) -> Result<(Open, bool)> {
    loop {
        let step = {
            let request = request.clone();
            move || -> io::Result<(Open, Vec<Piece>, Next)> {
                let mut batch = Vec::new();
                let next = batch_of(&mut log, &request, &mut batch)?;
                Ok((log, batch, next))
            }
        };
        let (back, batch, next) =
            blocking(step).await.map_err(|cause| Error::internal(format!("reading a log: {cause}")))?;
        log = back;
        for piece in batch {
            if pieces.send(piece).await.is_err() {
                return Ok((log, false));
            }
        }
        match next {
            Next::More => {}
            Next::Later => return Ok((log, true)),
            Next::Never => return Ok((log, false)),
        }
    }
}

/// What comes after a batch of lines.
enum Next {
    /// There is more.
    More,
    /// Nothing, as long as nothing is printed.
    Later,
    /// Nothing that is wanted.
    Never,
}

/// Reads some lines.
fn batch_of(log: &mut Open, request: &LogRequest, batch: &mut Vec<Piece>) -> io::Result<Next> {
    const AT_ONCE: usize = 256;
    while batch.len() < AT_ONCE {
        log.file.read_until(b'\n', &mut log.rest)?;
        let Some(line) = log.rest.strip_suffix(b"\n") else { return Ok(Next::Later) };
        if let Some(line) = Line::read(line) {
            let at = line.at();
            if request.until.is_some_and(|until| at.is_some_and(|at| at > until)) {
                return Ok(Next::Never);
            }
            let early = request.since.is_some_and(|since| at.is_some_and(|at| at < since));
            let wanted = match line.stream {
                Stream::Out => request.stdout,
                Stream::Err => request.stderr,
            };
            if wanted && !early {
                batch.push((line.stream, line.told(request.timestamps).into()));
            }
        }
        log.rest.clear();
    }
    Ok(Next::More)
}

/// On a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn log(lines: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        append(file.path(), 1..=lines);
        file
    }

    fn append(path: &Path, numbers: impl Iterator<Item = u32>) {
        use std::io::Write;
        let mut file = File::options().append(true).open(path).unwrap();
        for number in numbers {
            writeln!(file, "2026-01-01T00:00:{number:02}.000000000+00:00 stdout F {number}").unwrap();
        }
    }

    async fn told(path: &Path, request: LogRequest) -> String {
        let (send, mut pieces) = mpsc::channel(16);
        let (_running, is_running) = watch::channel(false);
        let reading = tokio::spawn(read(path.to_owned(), request, is_running, send));
        let mut text = Vec::new();
        while let Some((_, piece)) = pieces.recv().await {
            text.extend_from_slice(&piece);
        }
        reading.await.unwrap().unwrap();
        String::from_utf8(text).unwrap().replace('\n', " ")
    }

    fn all() -> LogRequest {
        LogRequest { stdout: true, stderr: true, ..LogRequest::default() }
    }

    #[tokio::test]
    async fn the_last_lines_and_those_between_two_moments_are_read() {
        let file = log(9);
        assert_eq!(told(file.path(), all()).await, "1 2 3 4 5 6 7 8 9 ");
        assert_eq!(told(file.path(), LogRequest { tail: Some(2), ..all() }).await, "8 9 ");
        assert_eq!(told(file.path(), LogRequest { tail: Some(0), ..all() }).await, "");
        assert_eq!(told(file.path(), LogRequest { tail: Some(100), ..all() }).await, "1 2 3 4 5 6 7 8 9 ");
        let second = |number: u64| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + number));
        assert_eq!(told(file.path(), LogRequest { since: second(3), until: second(5), ..all() }).await, "3 4 5 ");
        assert_eq!(told(file.path(), LogRequest { stdout: false, ..all() }).await, "");
        assert_eq!(told(Path::new("/none"), all()).await, "");
    }

    #[tokio::test]
    async fn a_log_is_followed_until_its_container_ends() {
        let file = log(1);
        let (send, mut pieces) = mpsc::channel(16);
        let (running, is_running) = watch::channel(true);
        let request = LogRequest { follow: true, ..all() };
        let reading = tokio::spawn(read(file.path().to_owned(), request, is_running, send));
        assert_eq!(pieces.recv().await.unwrap().1, "1\n");
        append(file.path(), 2..=2);
        assert_eq!(pieces.recv().await.unwrap().1, "2\n");
        append(file.path(), 3..=3);
        running.send_replace(false);
        assert_eq!(pieces.recv().await.unwrap().1, "3\n");
        assert_eq!(pieces.recv().await, None);
        reading.await.unwrap().unwrap();
    }

    #[test]
    fn a_line_in_parts_is_one_of_the_last_lines() {
        let text = b"t stdout F 1\nt stdout P 2\nt stdout P 2\nt stdout F 2\nt stdout F 3\n".to_vec();
        let start = |lines| start_of_last(&mut io::Cursor::new(text.clone()), lines).unwrap();
        assert_eq!((start(1), start(2), start(3), start(4)), (52, 13, 0, 0));
    }
}
