//! Counts what goes into and comes out of the decompressor, and remembers which side gave way.

use std::{
    cell::{Cell, RefCell},
    io::{self, Read},
};

use super::{ArchiveError, Limits};

/// Archives that stay below this are not measured for their ratio: a few kilobytes of zeros are no bomb.
const RATIO_FREE_BYTES: u64 = 64 << 20;

/// Shared by the layers of one archive's reading.
pub(super) struct Meter {
    limit: u64,
    ratio: u64,
    packed: Cell<u64>,
    expanded: Cell<u64>,
    fault: RefCell<Option<Fault>>,
}

/// What broke first.
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

    /// Blames the archive, unless something broke before.
    pub(super) fn blame_archive(&self, reason: String) {
        self.fault.borrow_mut().get_or_insert(Fault::Archive(reason));
    }

    /// What an error that came up through the layers really means.
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

/// The archive as it comes.
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

/// The archive decompressed.
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
                // The decompressor passes the source's own errors through; those are blamed already.
                self.meter
                    .blame_archive(format!("is not a complete gzip stream: {error}"));
                Err(error)
            }
        }
    }
}
