//! Traffic that goes on while things change: a TCP connection that is held, and a UDP conversation without a pause.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::namespace::Namespace;

/// How long an answer on a connection may take when packets are lost and sent again.
const LONG: Duration = Duration::from_secs(30);

/// A TCP connection to one of our servers.
pub struct Stream {
    stream: TcpStream,
    said: u64,
}

impl Stream {
    /// Connects from a namespace.
    pub fn open(from: &Namespace, target: SocketAddr) -> Self {
        let connected = from.run(|| TcpStream::connect_timeout(&target, LONG));
        let stream = connected.unwrap_or_else(|error| panic!("connecting to {target}: {error}"));
        stream.set_read_timeout(Some(LONG)).expect("a time is set");
        let mut greeting = String::new();
        // A byte at a time, so that nothing of the echo is taken.
        BufReader::with_capacity(1, &stream).read_line(&mut greeting).expect("our servers greet");
        Self { stream, said: 0 }
    }

    /// Says something and hears it back.
    ///
    /// # Panics
    /// When the connection is broken or silent.
    pub fn is_alive(&mut self) {
        self.said += 1;
        let message = self.said.to_be_bytes();
        let mut heard = [0; 8];
        let echo = self.stream.write_all(&message).and_then(|()| self.stream.read_exact(&mut heard));
        echo.unwrap_or_else(|error| panic!("an established connection broke: {error}"));
        assert_eq!(heard, message);
    }
}

/// A UDP conversation on a thread of its own: question, answer, question, answer.
pub struct Conversation {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Conversation {
    /// Starts one from a namespace; the first question has been answered when it returns.
    pub fn start(from: &Namespace, target: SocketAddr) -> Self {
        let socket = from.run(|| {
            let socket = match target.is_ipv4() {
                true => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
                false => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
            };
            let socket = socket.expect("a socket can be made");
            socket.connect(target).expect("there is a route");
            socket
        });
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time is set");
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        converse_once(&socket, 0).expect("the conversation begins");
        let thread = {
            let (stop, answered) = (stop.clone(), answered.clone());
            thread::spawn(move || converse(&socket, &stop, &answered))
        };
        Self { stop, answered, thread: Some(thread) }
    }

    /// Waits for one more answer to a question asked after this call.
    pub fn goes_on(&self) {
        let before = self.answered.load(Ordering::SeqCst);
        // The question under way may have been asked before; the next one was not.
        while self.answered.load(Ordering::SeqCst) < before + 2 {
            let thread = self.thread.as_ref().expect("it is there until the end");
            assert!(!thread.is_finished(), "the conversation broke off");
            thread::yield_now();
        }
    }

    /// Ends it.
    ///
    /// # Panics
    /// When a question was not answered.
    pub fn lost_nothing(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.take().expect("it ends but once");
        thread.join().expect("it does not panic").unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn converse(socket: &UdpSocket, stop: &AtomicBool, answered: &AtomicU64) -> Result<(), String> {
    for number in 1_u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        converse_once(socket, number).map_err(|error| format!("question {number} was not answered: {error}"))?;
        answered.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

fn converse_once(socket: &UdpSocket, number: u64) -> Result<(), String> {
    let question = format!("number {number};");
    socket.send(question.as_bytes()).map_err(|error| error.to_string())?;
    let mut heard = [0; 4096];
    // A test's program that is stopped and goes on is told so here.
    let length = loop {
        match socket.recv(&mut heard) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result.map_err(|error| error.to_string())?,
        }
    };
    let text = String::from_utf8_lossy(&heard[..length]);
    text.ends_with(&question).then_some(()).ok_or_else(|| format!("{text:?} came instead"))
}
