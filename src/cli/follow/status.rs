//! Shows a build's progress: one line that changes on a terminal, one line for each change elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    cli::{describe, screen::Screen},
    client::Build,
};

/// The status line below the log.
pub(in crate::cli) struct Status {
    bar: Option<ProgressBar>,
    said: String,
}

impl Status {
    /// Creates the line, which is drawn only on a terminal.
    pub(in crate::cli) fn new(screen: &Screen, log_beside: bool) -> Self {
        // If the log goes to a file, the terminal shows progress as separate lines instead.
        let drawn =
            screen.err_is_terminal() && !screen.is_quiet() && (log_beside || screen.out_is_terminal());
        let bar = drawn.then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
                .with_style(style.expect("the template is valid"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            said: String::new(),
        }
    }

    /// Creates a status without a line.
    pub(in crate::cli) fn none() -> Self {
        Self {
            bar: None,
            said: String::new(),
        }
    }

    /// Returns true if the line is on the screen, so that other output must end with a line break.
    pub(in crate::cli) fn is_drawn(&self) -> bool {
        self.bar.is_some()
    }

    pub(super) fn show(&mut self, screen: &mut Screen, build: &Build) {
        let text = describe::progress(build);
        match &self.bar {
            Some(bar) => bar.set_message(text),
            // The changing queue position would fill pages, so only states, phases and steps are printed.
            None => {
                let said = match (&build.step, &build.phase) {
                    (Some(_), _) => text.clone(),
                    (None, Some(phase)) => phase.clone(),
                    (None, None) => build.state.to_string(),
                };
                if self.said != said {
                    screen.note(&text);
                    self.said = said;
                }
            }
        }
    }

    /// Writes other output while the line is hidden.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
