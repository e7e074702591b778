//! Tests that need a cluster: each module is a suite, run alone by its prefix (`make test-cluster ARGS=puppet::logs`).
//!
//! Each test is ignored unless it is asked for, which `make test-cluster` does after it has made a cluster.

mod deployed;
mod faults;
mod kubernetes;
mod puppet;
mod support;
mod the_cluster;
