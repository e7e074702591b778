//! Counts the bytes before and after decompression, and records whether the source or the archive failed.

use std::{
    cell::{Cell, RefCell},
    io::{self, Read},
};

use super::{ArchiveError, Limits};

/// Expanded size in bytes up to which the ratio is not checked: a few kilobytes of zeros are no bomb.
const RATIO_FREE_BYTES: u64 = 64 << 20;

/// Counters and first fault, shared by the layers that read one archive.
pub(super) struct Meter {
    limit: u64,
    ratio: u64,
    packed: Cell<u64>,
    expanded: Cell<u64>,
    fault: RefCell<Option<Fault>>,
}

/// First fault of a reading.
enum Fault {
    /// The reader that the archive comes from.
    Source,
    /// The archive itself.
    Archive(String),
}

impl Meter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.expanded_bytes,
            ratio: limits.ratio,
            packed: Cell::new(0),
            expanded: Cell::new(0),
            fault: RefCell::new(None),
        }
    }

    pub(super) fn expanded(&self) -> u64 {
        self.expanded.get()
    }

    /// Records the archive as faulty, unless a fault is already recorded.
    pub(super) fn blame_archive(&self, reason: String) {
        self.fault.borrow_mut().get_or_insert(Fault::Archive(reason));
    }

    /// Returns the recorded fault as an error, or the given error if no fault explains it.
    pub(super) fn verdict(&self, error: ArchiveError) -> ArchiveError {
        match (self.fault.borrow_mut().take(), error) {
            (Some(Fault::Archive(reason)), _) => ArchiveError::Invalid(reason),
            (Some(Fault::Source), ArchiveError::Invalid(reason)) => {
                ArchiveError::Io(io::Error::other(reason))
            }
            (_, error) => error,
        }
    }

    fn expand_by(&self, bytes: u64) -> io::Result<()> {
        let expanded = self.expanded.get().saturating_add(bytes);
        self.expanded.set(expanded);
        if expanded > self.limit {
            return Err(self.refuse(format!("is larger than {} bytes when unpacked", self.limit)));
        }
        if expanded > RATIO_FREE_BYTES && expanded / self.packed.get().max(1) > self.ratio {
            return Err(self.refuse(format!(
                "grows to more than {} times its size when unpacked",
                self.ratio
            )));
        }
        Ok(())
    }

    fn refuse(&self, reason: String) -> io::Error {
        self.blame_archive(reason.clone());
        io::Error::other(reason)
    }
}

/// Compressed archive: counts its bytes and records errors of the source.
pub(super) struct Packed<'a, R> {
    inner: R,
    meter: &'a Meter,
}

impl<'a, R> Packed<'a, R> {
    pub(super) fn new(inner: R, meter: &'a Meter) -> Self {
        Self { inner, meter }
    }
}

impl<R: Read> Read for Packed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        match &read {
            Ok(bytes) => self.meter.packed.set(self.meter.packed.get() + *bytes as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                self.meter.fault.borrow_mut().get_or_insert(Fault::Source);
            }
        }
        read
    }
}

/// Decompressed archive: counts its bytes and enforces the limits.
pub(super) struct Expanded<'a, R> {
    inner: R,
    meter: &'a Meter,
}

impl<'a, R> Expanded<'a, R> {
    pub(super) fn new(inner: R, meter: &'a Meter) -> Self {
        Self { inner, meter }
    }
}

impl<R: Read> Read for Expanded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(bytes) => self.meter.expand_by(bytes as u64).map(|()| bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                // The decompressor passes errors of the source through; those are already recorded.
                self.meter
                    .blame_archive(format!("is not a complete gzip stream: {error}"));
                Err(error)
            }
        }
    }
}
