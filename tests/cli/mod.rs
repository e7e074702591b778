//! The command line as people use it: the real binary, against a service.

mod build;
mod builds;
mod endpoints;
mod errors;
mod follow;
mod logs;
mod tokens;
mod triggers;
mod world;
