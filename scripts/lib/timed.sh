#!/usr/bin/env bash
# Runs a test program so that each test prints how long it took.
#
# Rust's test harness offers that on nightly compilers only; RUSTC_BOOTSTRAP at run time lets the stable one do it, too.
# It does not reach the compiler, so nothing is compiled in another way.
exec env RUSTC_BOOTSTRAP=1 "$@" -Z unstable-options --report-time
