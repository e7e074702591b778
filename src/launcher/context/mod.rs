//! Fetching and unpacking of build contexts in a build's init container.

mod args;
mod fetch;
mod unpack;

pub use args::{FetchContextArgs, LimitArgs, TOKEN_VARIABLE};
pub use fetch::{FetchError, fetch_context};
pub use unpack::unpack;

#[cfg(test)]
mod fetch_tests;
#[cfg(test)]
mod tests;
