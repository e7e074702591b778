//! The parts that several suites need: servers of their own, their ports, and what one process has once.

pub mod cluster;
pub mod port;
pub mod postgres;
pub mod process;
pub mod registry;
pub mod service;
