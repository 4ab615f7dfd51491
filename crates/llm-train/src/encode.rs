//! Rows → token ids on all cores, in the order of the rows.

use std::thread::ScopedJoinHandle;

use llm_core::kernels::pool;

use crate::Result;
use crate::data::Row;
use crate::labels::Example;
use crate::prompt::Codec;

/// A row as token ids, `None` where nothing supervised is left of it; whether it was cut.
pub type Encoded = (Option<Example>, bool);

/// Items that one thread takes at a time when a stream is encoded: a few milliseconds of work.
const STREAM_ITEMS: usize = 512;

/// [`Codec::example`] of every row.
///
/// # Errors
/// What the first row that fails reports.
pub fn encode_rows(codec: &Codec, rows: &[Row], max_length: usize) -> Result<Vec<Encoded>> {
    in_parallel(rows, |row| codec.example(row, max_length))
}

/// [`Codec::stream`] of every document alone; side by side they are that of all.
///
/// # Errors
/// What the first document that fails reports.
pub fn encode_documents(
    codec: &Codec,
    documents: &[String],
    special: bool,
) -> Result<Vec<Vec<u32>>> {
    in_parallel(documents, |document| {
        codec.stream(std::slice::from_ref(document), special)
    })
}

/// [`Codec::example`] of rows that come one at a time, to `sink` in their order. Memory holds a few
/// thousand rows, however many there are.
///
/// # Errors
/// The first error of `rows`, of a row, or of `sink`.
pub fn encode_stream(
    codec: &Codec,
    rows: impl Iterator<Item = Result<Row>>,
    max_length: usize,
    mut sink: impl FnMut(Encoded) -> Result<()>,
) -> Result<()> {
    let mut rows = rows.fuse();
    let most = STREAM_ITEMS * pool::threads().max(1);
    let mut next = || rows.by_ref().take(most).collect::<Result<Vec<Row>>>();
    let mut some = next()?;
    while !some.is_empty() {
        // The next rows are read while these are encoded.
        let (encoded, following) = std::thread::scope(|scope| {
            let encoding = scope.spawn(|| encode_rows(codec, &some, max_length));
            let following = next();
            (join(encoding), following)
        });
        for encoded in encoded? {
            sink(encoded)?;
        }
        some = following?;
    }
    Ok(())
}

/// What a thread returns; a panic goes on.
fn join<R>(thread: ScopedJoinHandle<'_, R>) -> R {
    match thread.join() {
        Ok(result) => result,
        Err(cause) => std::panic::resume_unwind(cause),
    }
}

/// `work` of every item, in order, shared out over the threads that computing may use.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = pool::threads().max(1);
    let some = items.len().div_ceil(threads).max(1);
    if threads == 1 || items.len() < 2 {
        return items.iter().map(work).collect();
    }
    let parts: Vec<Result<Vec<R>>> = std::thread::scope(|scope| {
        let run = |part| {
            let work = &work;
            scope.spawn(move || <[T]>::iter(part).map(work).collect())
        };
        let running: Vec<_> = items.chunks(some).map(run).collect();
        running.into_iter().map(join).collect()
    });
    let mut all = Vec::with_capacity(items.len());
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn results_come_in_order_and_the_first_error_wins() {
        for count in [0, 1, 2, 7, 100] {
            let items: Vec<usize> = (0..count).collect();
            let doubled = in_parallel(&items, |i| Ok(i * 2)).unwrap();
            assert_eq!(doubled, items.iter().map(|i| i * 2).collect::<Vec<_>>());
        }
        let items: Vec<usize> = (0..100).collect();
        let fails = |i: &usize| match i % 40 {
            39 => Err(Error::input(i.to_string(), "bad")),
            _ => Ok(()),
        };
        let error = in_parallel(&items, fails).unwrap_err().to_string();
        assert!(error.starts_with("39:"), "{error}");
    }
}
