//! Reads kaniko's log: which phase it has reached, and what its last words mean.
//!
//! Whoever writes a Dockerfile writes into the same log: every `RUN` prints there, on purpose perhaps what kaniko
//! would print. So only what kaniko must have written itself is believed: see [`classify`].

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
