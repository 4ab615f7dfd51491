//! One connection to another process, and what goes over it.
//!
//! ```text
//! magic "LDPR"   kind u8   zero [3]   length u64, little-endian   that many bytes
//! ```
//!
//! Who receives knows kind and length beforehand and accepts nothing else: no number from outside
//! decides over memory, and processes that are at different places of a run notice it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::super::{FAILURE_BYTES, failure, peer};
use crate::{Error, Result};

const MAGIC: [u8; 4] = *b"LDPR";
const HEADER_BYTES: usize = 16;
/// Messages up to this go out in one packet with their header.
const SMALL_BYTES: usize = 1 << 13;
/// How long a process that has to go looks for what another one said before.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long one that abandons the others lets them finish what they are sending.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A process says who it is.
    Hello = 1,
    /// It was understood.
    Heard = 2,
    /// All are there.
    Ready = 3,
    /// Bytes to gather.
    Bytes = 4,
    /// Numbers to add.
    F32 = 5,
    /// Numbers to add.
    F64 = 6,
    /// The sender ends with an error.
    Abandoned = 7,
}

/// A connection to the process `rank`.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) rank: usize,
    stream: TcpStream,
    patience: Duration,
}

impl Link {
    /// A connection on which nothing takes longer than `patience`.
    pub(super) fn new(rank: usize, stream: TcpStream, patience: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let mut link = Self {
            rank,
            stream,
            patience,
        };
        link.be_patient(patience)?;
        Ok(link)
    }

    /// Another patience from now on.
    pub(super) fn be_patient(&mut self, patience: Duration) -> io::Result<()> {
        self.patience = patience.max(Duration::from_millis(1)); // zero is refused
        self.stream.set_read_timeout(Some(self.patience))?;
        self.stream.set_write_timeout(Some(self.patience))
    }

    /// Whether the other end has closed it, or said something unasked.
    pub(super) fn is_closed(&self) -> bool {
        let looked = self
            .stream
            .set_nonblocking(true)
            .and_then(|()| self.stream.peek(&mut [0]));
        let open = looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).is_err() || !open
    }

    /// Sends a message.
    pub(super) fn send(&self, kind: Kind, bytes: &[u8]) -> Result<()> {
        self.write(kind, bytes).map_err(|error| {
            // A process that gave up may have said why before its end closed.
            let _ = self.stream.set_read_timeout(Some(LAST_WORDS));
            match self.header() {
                Err(said @ Error::Peer { .. }) => said,
                _ => self.gone(&error),
            }
        })
    }

    fn write(&self, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4] = kind as u8;
        header[8..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        let mut stream = &self.stream;
        if bytes.len() <= SMALL_BYTES {
            return stream.write_all(&[&header[..], bytes].concat());
        }
        stream.write_all(&header)?;
        stream.write_all(bytes)
    }

    /// Receives a message of this kind that fills `bytes`.
    pub(super) fn receive(&self, kind: Kind, bytes: &mut [u8]) -> Result<()> {
        self.expect(kind, bytes.len())?;
        self.read(bytes)
    }

    /// Receives the beginning of a message of this kind and length.
    pub(super) fn expect(&self, kind: Kind, length: usize) -> Result<()> {
        let found = self.header()?;
        if found == (kind as u8, length as u64) {
            return Ok(());
        }
        let rank = self.rank;
        let (found_kind, found_length) = found;
        Err(Error::processes(format!(
            "process {rank} is at another place of the run: it sent message {found_kind} of \
             {found_length} bytes, expected {} of {length}",
            kind as u8
        )))
    }

    /// Kind and length of the next message; the error of one that says that its sender gave up.
    fn header(&self) -> Result<(u8, u64)> {
        let mut header = [0; HEADER_BYTES];
        self.read(&mut header)?;
        let [m0, m1, m2, m3, kind, _, _, _, length @ ..] = header;
        if [m0, m1, m2, m3] != MAGIC {
            let problem = format!("process {} does not speak as deeper does", self.rank);
            return Err(Error::processes(problem));
        }
        let length = u64::from_le_bytes(length);
        if (kind, length) == (Kind::Abandoned as u8, FAILURE_BYTES as u64) {
            let mut record = [0; FAILURE_BYTES];
            self.read(&mut record)?;
            return Err(peer(self.rank, &record));
        }
        Ok((kind, length))
    }

    /// Receives as many bytes as `bytes` has.
    pub(super) fn read(&self, bytes: &mut [u8]) -> Result<()> {
        let mut stream = &self.stream;
        stream.read_exact(bytes).map_err(|error| self.gone(&error))
    }

    /// Says that this process ends, and why.
    pub(super) fn abandon(&self, code: u8, why: &str) {
        let _ = self.stream.set_write_timeout(Some(FAREWELL));
        let _ = self.write(Kind::Abandoned, &failure(code, why));
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads what the other one is still sending, so that it comes to read why this one ends: a
    /// connection closed over unread bytes may lose what was sent last.
    pub(super) fn drain(&self) {
        let _ = self.stream.set_read_timeout(Some(FAREWELL));
        let (begun, mut scratch) = (Instant::now(), vec![0; SMALL_BYTES]);
        let mut stream = &self.stream;
        while begun.elapsed() < FAREWELL {
            match stream.read(&mut scratch) {
                Ok(0) => return,
                Err(error) if error.kind() != ErrorKind::Interrupted => return,
                _ => {}
            }
        }
    }

    fn gone(&self, error: &io::Error) -> Error {
        let rank = self.rank;
        Error::processes(match error.kind() {
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => {
                format!("process {rank} has gone without a word, as one that was killed")
            }
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                let seconds = self.patience.as_secs_f64();
                format!("process {rank} has been silent for {seconds:.0} seconds")
            }
            _ => format!("process {rank} cannot be reached: {error}"),
        })
    }
}
