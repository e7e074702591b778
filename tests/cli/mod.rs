//! The command line as people use it: the real binary, against a service.

#[path = "../support/port.rs"]
mod port;
#[path = "../support/service.rs"]
mod service;

mod build;
mod builds;
mod endpoints;
mod errors;
mod follow;
mod logs;
mod tokens;
mod triggers;
mod world;
