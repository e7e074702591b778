//! Build contexts on their way into a build's container.

mod unpack;

pub use unpack::unpack;

#[cfg(test)]
mod tests;
