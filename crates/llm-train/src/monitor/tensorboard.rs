//! Event files that TensorBoard reads.
//!
//! A file is a sequence of records, as TensorFlow frames them:
//!
//! ```text
//! u64  length of the event, little-endian
//! u32  masked CRC-32C of these eight bytes
//! …    the event: a protobuf message
//! u32  masked CRC-32C of the event
//! ```
//!
//! The first event holds the version; each row of the log is one event whose summary has a value
//! for each column. A record is one write, so a killed run leaves whole records and at most one
//! torn one at the end, which readers pass over. Numbers are f32 there; `metrics.jsonl` has all
//! digits. Messages: `Event`, `Summary` and `TensorProto` of the tensorboard package.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

/// What the first event says.
const VERSION: &str = "brain.Event:2";
/// Added after rotation, so that a CRC of data that holds CRCs stays a good one.
const MASK: u32 = 0xa282_ead8;
/// `DT_STRING` of TensorFlow's types.
const STRING: u64 = 7;
/// `DATA_CLASS_TENSOR` of a summary's metadata.
const TENSOR: u64 = 2;

/// An event file that is being written.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Starts a new event file in the folder `logs`, which is made if it is not there. A run that
    /// goes on gets a file of its own beside the first: TensorBoard joins them.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn create(logs: &Path, now: SystemTime) -> Result<Self> {
        std::fs::create_dir_all(logs).map_err(Error::io(logs))?;
        let seconds = seconds(now);
        // TensorBoard reads the files of a folder in the order of their names.
        let name = format!(
            "events.out.tfevents.{:010}.deeper.{}",
            seconds as u64,
            std::process::id()
        );
        let path = logs.join(name);
        let file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(Error::io(&path))?;
        let mut events = Self { path, file };
        events.write(&version(seconds))?;
        Ok(events)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one event with these values at `step`.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn scalars(&mut self, step: u64, now: SystemTime, values: &[(&str, f64)]) -> Result<()> {
        self.write(&scalars(seconds(now), step, values))
    }

    /// Writes one event with a text, which TensorBoard shows as Markdown.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn text(&mut self, step: u64, now: SystemTime, tag: &str, text: &str) -> Result<()> {
        self.write(&self::text(seconds(now), step, tag, text))
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        self.file
            .write_all(&record(event))
            .map_err(Error::io(&self.path))
    }
}

fn seconds(now: SystemTime) -> f64 {
    now.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// CRC-32C of `bytes`, rotated and shifted as TensorFlow stores it.
pub fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

/// An event in its frame.
pub fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked_crc(&length).to_le_bytes());
    bytes.extend(event);
    bytes.extend(masked_crc(event).to_le_bytes());
    bytes
}

/// The event that opens a file; `wall_time` is in seconds after 1970.
pub fn version(wall_time: f64) -> Vec<u8> {
    let mut event = Proto::default();
    event.double(1, wall_time);
    event.bytes(3, VERSION.as_bytes());
    event.0
}

/// The event of a row of values.
pub fn scalars(wall_time: f64, step: u64, values: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Proto::default();
    for (tag, value) in values {
        let mut entry = Proto::default();
        entry.bytes(1, tag.as_bytes());
        entry.float(2, *value as f32);
        summary.bytes(1, &entry.0);
    }
    event(wall_time, step, &summary)
}

/// The event of a text.
pub fn text(wall_time: f64, step: u64, tag: &str, text: &str) -> Vec<u8> {
    let mut plugin = Proto::default();
    plugin.bytes(1, b"text");
    let mut metadata = Proto::default();
    metadata.bytes(1, &plugin.0);
    metadata.varint(4, TENSOR);
    let (mut size, mut shape) = (Proto::default(), Proto::default());
    size.varint(1, 1);
    shape.bytes(2, &size.0);
    let mut tensor = Proto::default();
    tensor.varint(1, STRING);
    tensor.bytes(2, &shape.0);
    tensor.bytes(8, text.as_bytes());
    let mut value = Proto::default();
    value.bytes(1, tag.as_bytes());
    value.bytes(8, &tensor.0);
    value.bytes(9, &metadata.0);
    let mut summary = Proto::default();
    summary.bytes(1, &value.0);
    event(wall_time, step, &summary)
}

fn event(wall_time: f64, step: u64, summary: &Proto) -> Vec<u8> {
    let mut event = Proto::default();
    event.double(1, wall_time);
    // Protobuf leaves out numbers that are zero.
    if step > 0 {
        event.varint(2, step);
    }
    event.bytes(5, &summary.0);
    event.0
}

/// A protobuf message being written, field by field in the order of their numbers.
#[derive(Default)]
struct Proto(Vec<u8>);

impl Proto {
    fn key(&mut self, field: u64, wire: u64) {
        self.number(field << 3 | wire);
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.number(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }
}
