//! How far a model is above the floor of the generator.

use super::{Domain, Shape, Split, document};
use crate::bootstrap::{Interval, Part, RESAMPLES, interval};
use crate::eval::Subject;
use crate::labels::windows;
use crate::{Error, Result};

/// Where the indices of measured documents begin: far from those that are trained on.
const FIRST_INDEX: u64 = 1 << 40;

/// Which documents are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The generator's seed.
    pub seed: u64,
    /// Fresh documents on trained combinations, or on held-out ones.
    pub split: Split,
    /// Documents of each domain.
    pub documents: u64,
}

/// A domain's documents under a model, in bits.
#[derive(Clone, Debug, PartialEq)]
pub struct AboveFloor {
    /// The domain.
    pub domain: Domain,
    /// Documents.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tokens of a document, its end among them.
    pub tokens_per_document: f64,
    /// `-log2 p` of a document by the model.
    pub bits: Interval,
    /// `-log2` of the probability that the generator chooses its domain and makes its choices.
    pub floor: f64,
    /// The difference.
    pub above: Interval,
    /// The model's bits for each byte.
    pub bits_per_byte: f64,
}

/// Measures fresh documents of each domain; `progress` is told documents done and all of them.
///
/// A document is read behind the end of another one, as in training, so that its first token is
/// predicted too; which domain comes next is then a choice of the generator, with the probability
/// of the domain's weight.
///
/// # Errors
/// No documents, or what the model or the tokenizer reports.
pub fn above_floor(
    subject: &Subject,
    sample: Sample,
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<AboveFloor>> {
    if sample.documents == 0 {
        return Err(Error::input("documents", "are 0, expected 1 or more"));
    }
    let total = sample.documents * Domain::ALL.len() as u64;
    let mut rows = Vec::new();
    for (at, domain) in Domain::ALL.into_iter().enumerate() {
        let mut sums = Sums::default();
        for index in 0..sample.documents {
            sums.add(subject, sample, domain, index)?;
            progress(at as u64 * sample.documents + index + 1, total);
        }
        rows.push(sums.row(domain, sample)?);
    }
    Ok(rows)
}

#[derive(Default)]
struct Sums {
    bits: Vec<Part>,
    above: Vec<Part>,
    floor: f64,
    bytes: u64,
    tokens: usize,
}

impl Sums {
    fn add(&mut self, subject: &Subject, sample: Sample, domain: Domain, index: u64) -> Result<()> {
        let Sample { seed, split, .. } = sample;
        let document = document(seed, domain, split, Shape::Mixed, FIRST_INDEX + index);
        let text = document.text();
        let mut ids = subject.codec.stream(std::slice::from_ref(&text), true)?;
        let end = ids.last().copied();
        ids.splice(0..0, end);
        let (windows, _) = windows(domain.name(), &ids, subject.context() - 1)?;
        let mut nats = 0.0;
        for window in &windows {
            nats += subject.nats(window)?;
        }
        let bits = nats / std::f64::consts::LN_2;
        let choice = f64::from(domain.weight()) / f64::from(weights());
        let floor = (document.nats - choice.ln()) / std::f64::consts::LN_2;
        let one = |sum| Part { sum, weight: 1.0 };
        self.bits.push(one(bits));
        self.above.push(one(bits - floor));
        self.floor += floor;
        self.bytes += text.len() as u64;
        self.tokens += ids.len() - 1;
        Ok(())
    }

    fn row(self, domain: Domain, sample: Sample) -> Result<AboveFloor> {
        let documents = self.bits.len() as f64;
        let bits = interval(&self.bits, RESAMPLES, sample.seed)?;
        Ok(AboveFloor {
            domain,
            documents: self.bits.len() as u64,
            bytes: self.bytes,
            tokens_per_document: self.tokens as f64 / documents,
            bits,
            floor: self.floor / documents,
            above: interval(&self.above, RESAMPLES, sample.seed)?,
            bits_per_byte: bits.value * documents / self.bytes.max(1) as f64,
        })
    }
}

/// The sum of all domains' weights.
fn weights() -> u32 {
    Domain::ALL.into_iter().map(Domain::weight).sum()
}
