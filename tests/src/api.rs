//! The daemon's own API, asked over its socket as any program may: one connection, a request at a time.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::host::Host;

/// A connection to a daemon.
pub struct Api {
    stream: BufReader<UnixStream>,
}

/// Why there is no answer to work with.
#[derive(Debug)]
pub enum Failure {
    /// The daemon says no: the status, and what it says.
    Refused(u16, String),
    /// Nobody answers any more.
    Gone(std::io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status, message) => write!(f, "{status}: {message}"),
            Self::Gone(error) => write!(f, "the daemon is gone: {error}"),
        }
    }
}

impl Api {
    /// Connects to the daemon of a host.
    pub fn connect(host: &Host) -> Result<Self, Failure> {
        let path = host.exec_root().join("trestle.sock");
        let stream = host.run(|| UnixStream::connect(path)).map_err(Failure::Gone)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks with a body, or without one (`Value::Null`). An answer without a body is `Value::Null`.
    pub fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        let (status, body) = self.exchange(method, path, body).map_err(Failure::Gone)?;
        let answer = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body:?}")),
        };
        match status {
            200..300 => Ok(answer),
            _ => Err(Failure::Refused(status, answer["message"].as_str().unwrap_or(&body).to_owned())),
        }
    }

    fn exchange(&mut self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, String)> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} /cnm/v1/{path} HTTP/1.1\r\nHost: trestle\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let head = self.line()?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{head:?} begins no answer"));
        let mut length = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            assert!(!line.starts_with("transfer-encoding"), "answers of the daemon tell their length");
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length is a number");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body).expect("answers are text")))
    }

    /// A line of the answer's head, without its end.
    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}
