//! Several processes that train one model: data parallel.
//!
//! Every process holds the whole model. Of each step's rows it computes a share, and gradients and
//! losses are added up over all processes before the update, which each of them makes for itself:
//!
//! ```text
//! rows of a step    r0 r1 r2 r3 │ r4 r5 r6 r7      in the order that one process would read them
//! process                0      │      1           Σ −log p of its rows ÷ tokens of all rows
//! gradient          g0 + g1, in this order, the same bits everywhere
//! ```
//!
//! So the settings mean the same for one process and for eight, the mean is one over **tokens**, and
//! the sum is taken in the order of processes whatever carries it, so that a run repeats.
//!
//! Who decides? What follows from the numbers (the last step, early stopping, overflow) every
//! process decides for itself, alike, because the numbers are alike. What only one can know (a
//! signal, a full disk) is said to the others: [`Processes::any`], [`Processes::agree`]. The first
//! process, the leader, writes and speaks: [`Processes::lead`].
//!
//! [`Processes::alone`] is the group of one: it holds nothing, sends nothing, and every method of it
//! is its trivial case. What carries the numbers between several is a [`Transport`]: [`tcp`] here,
//! MPI and NCCL in a crate of their own.

mod gradients;
pub mod launch;
pub mod tcp;

use std::cell::Cell;
use std::fmt::Debug;
use std::ops::Range;
use std::rc::Rc;

use candle_core::Tensor;

pub use self::gradients::digest;
use crate::{Error, Result};

/// Bytes of a SHA-256.
pub const DIGEST_BYTES: usize = 32;
/// Bytes in which a process tells the others why it failed.
const FAILURE_BYTES: usize = 512;
/// Bytes in which the leader tells the others a text.
const TEXT_BYTES: usize = 4096;
/// The exit code of a failure whose own is not known.
const UNKNOWN_CODE: u8 = 2;

/// Carries numbers between the processes of a group.
///
/// Every process calls the same methods in the same order with values of the same length. Sums are
/// taken in the order of processes, and every process gets the same bits.
pub trait Transport: Debug {
    /// What it is, in one word.
    fn name(&self) -> &'static str;

    /// The number of this process, counted from 0.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// Every process's `own`, one after the other, in `all`.
    ///
    /// # Errors
    /// A process that is gone or silent, or that is at another place of the run.
    fn gather(&self, own: &[u8], all: &mut [u8]) -> Result<()>;

    /// Replaces each value by its sum over all processes.
    ///
    /// # Errors
    /// As [`Transport::gather`].
    fn sum_f32(&self, values: &mut [f32]) -> Result<()>;

    /// As [`Transport::sum_f32`].
    ///
    /// # Errors
    /// As [`Transport::gather`].
    fn sum_f64(&self, values: &mut [f64]) -> Result<()>;

    /// The sum over all processes of a tensor on an accelerator, without a way over the host's
    /// memory; `None` where this transport, or this tensor, has no such way.
    ///
    /// # Shapes
    /// `flat [n]` → `[n]`.
    ///
    /// # Errors
    /// As [`Transport::gather`], or what the device reports.
    fn sum_on_device(&self, flat: &Tensor) -> Result<Option<Tensor>> {
        let _ = flat;
        Ok(None)
    }

    /// Tells the others that this process ends with an error of which they know nothing yet. It may
    /// end them at once.
    fn abandon(&self, code: u8, why: &str);
}

/// The processes that train one model. Clones are the same group.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    group: Option<Rc<Group>>,
}

#[derive(Debug)]
struct Group {
    transport: Box<dyn Transport>,
    /// The number of this process among those of its machine.
    local: usize,
    /// Whether all of them know that the run has failed.
    settled: Cell<bool>,
}

impl Processes {
    /// One process, which asks nobody.
    pub fn alone() -> Self {
        Self::default()
    }

    /// The group that `transport` joins; this process is number `local` of its machine.
    pub fn new(transport: Box<dyn Transport>, local: usize) -> Self {
        let group = Group {
            transport,
            local,
            settled: Cell::new(false),
        };
        Self {
            group: Some(Rc::new(group)),
        }
    }

    /// Whether there is only this one.
    pub fn is_alone(&self) -> bool {
        self.group.is_none()
    }

    /// The number of this process, counted from 0.
    pub fn rank(&self) -> usize {
        self.group
            .as_ref()
            .map_or(0, |group| group.transport.rank())
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.group
            .as_ref()
            .map_or(1, |group| group.transport.size())
    }

    /// The number of this process among those of its machine: which of its GPUs it takes.
    pub fn local(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.local)
    }

    /// What carries their numbers.
    pub fn transport(&self) -> Option<&'static str> {
        self.group.as_ref().map(|group| group.transport.name())
    }

    /// Whether this is the process that writes and speaks.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    /// The part of `count` rows that is this process's: neighbours, and as many as the others have,
    /// give or take one.
    pub fn share(&self, count: usize) -> Range<usize> {
        let (rank, size) = (self.rank(), self.size());
        // Without the products of a large count.
        let (each, left) = (count / size, count % size);
        let start = rank * each + rank.min(left);
        start..start + each + usize::from(rank < left)
    }

    /// The sums over all processes of the numbers that each brings, beside its own value; an error
    /// of any of them is an error of all.
    ///
    /// # Errors
    /// This process's own; [`Error::Peer`] for that of another one; or what the transport reports.
    pub fn sums<T, const N: usize>(&self, own: Result<(T, [f64; N])>) -> Result<(T, [f64; N])> {
        let Some(group) = &self.group else {
            return own;
        };
        let numbers = own.as_ref().map_or([0.0; N], |(_, numbers)| *numbers);
        let mut message = vec![u8::from(own.is_err())];
        message.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        let all = match group.gathered(&message) {
            Ok(all) => all,
            Err(lost) => return Err(own.err().unwrap_or(lost)),
        };
        let failed = all
            .chunks_exact(message.len())
            .position(|one| one.first() != Some(&0));
        match (failed, own) {
            (None, Ok((value, _))) => Ok((value, total(&all, message.len()))),
            (first, own) => Err(group.failed(own.err(), first.unwrap_or_default())),
        }
    }

    /// Every process goes on with its own value, or none does.
    ///
    /// # Errors
    /// As [`Processes::sums`].
    pub fn agree<T>(&self, own: Result<T>) -> Result<T> {
        let own = own.map(|value| (value, []));
        self.sums::<T, 0>(own).map(|(value, _)| value)
    }

    /// An error to which every process has come by the same numbers: all know it.
    ///
    /// # Errors
    /// Always: `error`.
    pub fn alike<T>(&self, error: Error) -> Result<T> {
        self.agree(Err(error))
    }

    /// Whether the run has failed and all of them know.
    pub fn is_settled(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.settled.get())
    }

    /// The leader works, the others wait for it: `None` for them.
    ///
    /// # Errors
    /// As [`Processes::agree`].
    pub fn lead<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        match self.leads() {
            true => self.agree(work().map(Some)),
            false => self.agree(Ok(None)),
        }
    }

    /// The other half of [`Processes::lead`]: waits until the leader has done something.
    ///
    /// # Errors
    /// As [`Processes::agree`].
    pub fn wait(&self) -> Result<()> {
        self.agree(Ok(()))
    }

    /// Every process works, the leader first: what is wrong for all is said by one, and what the
    /// leader leaves on the disk is there for the others.
    ///
    /// # Errors
    /// As [`Processes::agree`].
    pub fn each<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.leads() {
            let own = self.agree(work())?;
            self.wait()?;
            return Ok(own);
        }
        self.wait()?;
        self.agree(work())
    }

    /// Whether any process says so.
    ///
    /// # Errors
    /// What the transport reports.
    pub fn any(&self, own: bool) -> Result<bool> {
        let own = f64::from(u8::from(own));
        let ((), [count]) = self.sums(Ok(((), [own])))?;
        Ok(count > 0.0)
    }

    /// Replaces each number by its sum over all processes.
    ///
    /// # Errors
    /// What the transport reports.
    pub fn sum_numbers(&self, numbers: &mut [f64]) -> Result<()> {
        match &self.group {
            Some(group) => group.transport.sum_f64(numbers),
            None => Ok(()),
        }
    }

    /// Fails in every process unless all have the same `digest` of `what`.
    ///
    /// # Errors
    /// The first process whose digest is not the leader's, or what the transport reports.
    pub fn check_same(&self, what: &str, digest: [u8; DIGEST_BYTES]) -> Result<()> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        let all = group.gathered(&digest)?;
        let first = all.first_chunk::<DIGEST_BYTES>();
        let other = all
            .chunks_exact(DIGEST_BYTES)
            .position(|one| Some(one) != first.map(<[u8; DIGEST_BYTES]>::as_slice));
        match (other, self.leads()) {
            (None, _) => Ok(()),
            (Some(_), false) => self.wait(), // the leader says it
            (Some(rank), true) => self.agree(Err(Error::Failed {
                check: what.to_owned(),
                problem: format!("process {rank} has other ones than process 0"),
            })),
        }
    }

    /// A text of the leader's, which every process gets; what the others pass is not looked at.
    ///
    /// # Errors
    /// A text of more than 4 KiB, or what the transport reports.
    pub fn text(&self, text: &str) -> Result<String> {
        let Some(group) = &self.group else {
            return Ok(text.to_owned());
        };
        let long = || Error::input("a text for other processes", "has more than 4 KiB");
        let own = match (self.leads(), text.len() + 2 <= TEXT_BYTES) {
            (true, true) => self.agree(Ok(with_length(&[], text, TEXT_BYTES))),
            (true, false) => self.agree(Err(long())),
            (false, _) => self.agree(Ok(vec![0; TEXT_BYTES])),
        };
        let all = group.gathered(&own?)?;
        Ok(text_of(all.get(..TEXT_BYTES).unwrap_or_default()))
    }

    /// The end of this process's part. What all know, an end or a failure, is waited for together,
    /// so that no launcher ends one that still writes; a failure that the others do not know is
    /// told to them.
    pub fn part(&self, failure: Option<(u8, &str)>) {
        let Some(group) = &self.group else {
            return;
        };
        match failure {
            Some((code, why)) if !group.settled.get() => group.transport.abandon(code, why),
            // Whoever is gone already does not have to be waited for.
            _ => drop(group.gathered(&[0])),
        }
    }
}

impl Group {
    fn gathered(&self, own: &[u8]) -> Result<Vec<u8>> {
        let mut all = vec![0; own.len() * self.transport.size()];
        self.transport.gather(own, &mut all)?;
        Ok(all)
    }

    /// The error of this process after a step in which some failed, `first` the first of them; the
    /// others hear why.
    fn failed(&self, own: Option<Error>, first: usize) -> Error {
        let record = own.as_ref().map_or_else(
            || vec![0; FAILURE_BYTES],
            |error| failure(error.exit_code(), &error.to_string()),
        );
        let told = self.gathered(&record);
        self.settled.set(told.is_ok());
        match (own, told) {
            (Some(own), _) => own,
            (None, Err(lost)) => lost,
            (None, Ok(all)) => {
                let start = first * FAILURE_BYTES;
                let record = all.get(start..start + FAILURE_BYTES);
                peer(first, record.unwrap_or_default())
            }
        }
    }
}

/// The sums of the numbers behind the first byte of each message, in the order of messages.
fn total<const N: usize>(all: &[u8], length: usize) -> [f64; N] {
    let mut sums = [0.0; N];
    for (index, message) in all.chunks_exact(length).enumerate() {
        let (numbers, _) = message.get(1..).unwrap_or_default().as_chunks::<8>();
        for (sum, number) in sums.iter_mut().zip(numbers) {
            let number = f64::from_le_bytes(*number);
            // The first one as it is: 0 + −0 is another zero.
            *sum = if index == 0 { number } else { *sum + number };
        }
    }
    sums
}

/// Why a process failed, in [`FAILURE_BYTES`]: exit code, length, text.
fn failure(code: u8, why: &str) -> Vec<u8> {
    with_length(&[code], why, FAILURE_BYTES)
}

/// `head`, the length of a text in two bytes, and the text, cut or filled up to `bytes`.
fn with_length(head: &[u8], text: &str, bytes: usize) -> Vec<u8> {
    let most = bytes.saturating_sub(head.len() + 2);
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut record = head.to_vec();
    record.extend(u16::try_from(end).unwrap_or_default().to_le_bytes());
    record.extend(text.as_bytes().iter().take(end));
    record.resize(bytes, 0);
    record
}

/// The text of a record without head; what is not a text becomes marks.
fn text_of(record: &[u8]) -> String {
    let Some((length, bytes)) = record.split_first_chunk::<2>() else {
        return String::new();
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..length]);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The error of process `rank`, from its record.
fn peer(rank: usize, record: &[u8]) -> Error {
    let (code, rest) = record.split_first().unwrap_or((&0, &[]));
    let text = text_of(rest);
    let problem = match text.is_empty() {
        true => "ended without saying why".to_owned(),
        false => text,
    };
    Error::Peer {
        rank,
        code: if *code == 0 { UNKNOWN_CODE } else { *code },
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_everything_is_its_own() {
        let alone = Processes::alone();
        assert_eq!((alone.rank(), alone.size(), alone.local()), (0, 1, 0));
        assert_eq!(alone.share(7), 0..7);
        assert_eq!(
            alone.sums(Ok(("a", [0.1, 2.0]))).unwrap(),
            ("a", [0.1, 2.0])
        );
        assert_eq!(alone.lead(|| Ok(3)).unwrap(), Some(3));
        assert!(alone.any(true).unwrap() && !alone.any(false).unwrap());
        assert_eq!(alone.text("x\ny").unwrap(), "x\ny");
        alone.check_same("things", [7; DIGEST_BYTES]).unwrap();
        let error = alone.agree::<()>(Err(Error::input("a", "b"))).unwrap_err();
        assert_eq!(error.to_string(), "a: b");
        alone.part(Some((2, "nobody hears it")));
    }

    #[test]
    fn records_hold_any_text_and_give_back_what_fits() {
        for text in [
            "",
            "step 3: the loss is NaN",
            &"é".repeat(400),
            "a\nb\u{1b}[2J",
        ] {
            let record = failure(4, text);
            assert_eq!(record.len(), FAILURE_BYTES);
            let Error::Peer {
                rank,
                code,
                problem,
            } = peer(5, &record)
            else {
                panic!("another error");
            };
            assert_eq!((rank, code), (5, 4));
            let clean = text.replace(['\n', '\u{1b}'], " ");
            match text {
                "" => assert!(problem.contains("without saying why")),
                _ => assert!(clean.starts_with(&problem) && problem.len() >= clean.len().min(500)),
            }
        }
        // What no process of ours sends.
        let foreign: [&[u8]; 4] = [&[], &[3], &[0, 255, 255, 0xff, 0xfe], &[9, 255]];
        for record in foreign {
            assert!(matches!(
                peer(1, record),
                Error::Peer {
                    code: 2 | 3 | 9,
                    ..
                }
            ));
        }
    }
}
