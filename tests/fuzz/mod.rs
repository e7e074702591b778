//! Every parser that eats bytes from outside, fed with what nobody would send, and with what somebody might.
//!
//! By itself each property is tried 256 times; with SLIPWAY_FUZZ_SECONDS, which `make fuzz` sets, for so long, and
//! each then says how often. A failure is shrunk, and shown with the input that it took.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod archives;
mod deliveries;
mod http;
mod logs;
mod mutation;
mod texts;

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestCaseError, TestRunner},
};

/// How often a property is tried between two looks at the clock.
const ROUND: u32 = 256;

/// What a property comes to.
pub type Verdict = Result<(), TestCaseError>;

/// Tries a property with values of `inputs`.
#[track_caller]
pub fn fuzz<S: Strategy>(name: &str, inputs: &S, property: impl Fn(S::Value) -> Verdict) {
    let seconds = std::env::var("SLIPWAY_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("SLIPWAY_FUZZ_SECONDS is a whole number"));
    let time = Duration::from_secs(seconds.unwrap_or(0));
    let began = Instant::now();
    let executions = Cell::new(0_u64);
    loop {
        let mut runner = TestRunner::new(Config {
            cases: ROUND,
            failure_persistence: None,
            ..Config::default()
        });
        let tried = runner.run(inputs, |input| {
            executions.set(executions.get() + 1);
            property(input)
        });
        if let Err(error) = tried {
            panic!("{name}, after {} executions: {error}", executions.get());
        }
        if began.elapsed() >= time {
            break;
        }
    }
    println!("fuzz: {:>9} executions  {name}", executions.get());
}
