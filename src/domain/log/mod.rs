//! What is kept of a container's log: without secrets, and bounded.
//!
//! Pure and in pieces: fed a log in pieces that are cut anywhere, it keeps the same bytes, and after each line it can
//! say from which byte of the container's log another process may go on.

mod docker_config;
mod filter;
mod known;
mod masker;
mod shapes;

pub use docker_config::credentials;
pub use filter::{Filter, SourceMark};
pub use known::Known;
pub use masker::Masker;

/// What the tokens begin with by which builds read their contexts, so that they are known wherever they turn up.
pub const CONTEXT_TOKEN: &str = "slipctx_";

#[cfg(test)]
mod tests;
