//! What several tests need. Each test names the parts that it uses.

pub mod port;
pub mod postgres;
