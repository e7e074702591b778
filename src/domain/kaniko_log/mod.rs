//! Reads kaniko's log: the phase that it has reached, and the meaning of its final error.
//!
//! The author of a Dockerfile writes into the same log: every `RUN` prints there, and can imitate kaniko's
//! output on purpose. So only lines that kaniko must have written itself count: see [`classify`].

mod dockerfile;
mod line;
mod network;
mod progress;
mod registry;
mod snippet;
mod source;
mod step;
mod strip;
mod verdict;

pub use progress::{Progress, Step};
pub use snippet::{message, snippet};
pub use verdict::{Verdict, classify};

#[cfg(test)]
mod tests;
