//! The words of the service and the rules that hold without any outside system: no async, no SQL, no HTTP.

pub mod archive;
pub mod build;
pub mod clock;
pub mod event;
pub mod failure;
pub mod git;
pub mod id;
pub mod image;
pub mod kaniko_log;
pub mod log;
pub mod log_chunk;
pub mod options;
pub mod outcome;
pub mod path;
pub mod project;
pub mod quantity;
pub mod queue;
pub mod source;
pub mod spec;
pub mod state;
pub mod text;
mod web;

pub use build::{Attempt, AttemptState, Build, NewBuild, StepRun};
pub use clock::{Clock, SystemClock};
pub use event::{BuildEvent, Cause, EventKind};
pub use failure::{Class, Failure, Reason};
pub use id::{BuildId, ContextId};
pub use image::{Digest, ImageReference, ImageRepository};
pub use outcome::{AttemptSeen, Outcome, Sighting};
pub use project::ProjectName;
pub use source::Source;
pub use spec::BuildSpec;
pub use state::{Phase, State};
pub use text::Invalid;
