//! Every parser that eats bytes from outside, fed with what nobody would send, and with what somebody might.
//!
//! By itself each property is tried 256 times; with SLIPWAY_FUZZ_SECONDS, which `make fuzz` sets, for so long, and
//! each then says how often. A failure is shrunk, and shown with the input that it took and with the seed of its round:
//! SLIPWAY_FUZZ_SEED repeats it.

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
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};

/// How often a property is tried between two looks at the clock.
const ROUND: u32 = 256;

/// What a property comes to.
pub type Verdict = Result<(), TestCaseError>;

/// The whole number that a variable of the environment holds.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text}, and must be a whole number")),
    )
}

/// Tries a property with values of `inputs`.
#[track_caller]
pub fn fuzz<S: Strategy>(name: &str, inputs: &S, property: impl Fn(S::Value) -> Verdict) {
    let time = Duration::from_secs(setting("SLIPWAY_FUZZ_SECONDS").unwrap_or(0));
    let mut seed = setting("SLIPWAY_FUZZ_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let began = Instant::now();
    let executions = Cell::new(0_u64);
    loop {
        let mut runner = TestRunner::new(Config {
            cases: ROUND,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(seed),
            ..Config::default()
        });
        let tried = runner.run(inputs, |input| {
            executions.set(executions.get() + 1);
            property(input)
        });
        if let Err(error) = tried {
            panic!(
                "{name}, after {} executions, with SLIPWAY_FUZZ_SEED={seed}: {error}",
                executions.get()
            );
        }
        seed += 1;
        if began.elapsed() >= time {
            break;
        }
    }
    println!("fuzz: {:>9} executions  {name}", executions.get());
}
