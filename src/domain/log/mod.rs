//! Filter for a container's log: the stored log is free of secrets, and bounded.
//!
//! The filter is pure. It keeps the same bytes regardless of where the log is cut into pieces, and after each
//! line it reports the byte of the container's log from which another process may continue.

mod docker_config;
mod filter;
mod known;
mod masker;
mod shapes;

pub use docker_config::credentials;
pub use filter::{Filter, SourceMark};
pub use known::Known;
pub use masker::Masker;

/// Prefix of the tokens with which builds fetch their contexts, so that they are recognized in any text.
pub const CONTEXT_TOKEN: &str = "slipctx_";

#[cfg(test)]
mod tests;
