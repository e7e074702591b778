//! Masks failures in the same way as logs, because they quote log lines.

use super::Dispatcher;
use crate::{
    domain::{BuildId, Failure, Outcome, Sighting, log::Masker},
    store::StoreError,
};

impl Dispatcher {
    /// Returns the observation with the secrets in its failures masked.
    pub(super) async fn without_secrets(
        &self,
        id: BuildId,
        sighting: &Sighting,
    ) -> Result<Sighting, StoreError> {
        let mut seen = sighting.clone();
        let attempts = seen
            .attempts
            .iter_mut()
            .filter_map(|attempt| attempt.failure.as_mut());
        let outcome = match &mut seen.outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Waiting { .. } | Outcome::Running { .. } | Outcome::Succeeded { .. } => None,
        };
        let failures: Vec<&mut Failure> = attempts.chain(outcome).collect();
        if !failures.is_empty() {
            let masker = self.masker(id).await?;
            failures.into_iter().for_each(|failure| mask(&masker, failure));
        }
        Ok(seen)
    }
}

/// Masks the secrets in a failure's message and log snippet.
pub(super) fn mask(masker: &Masker, failure: &mut Failure) {
    failure.message = masker.text(&failure.message);
    if let Some(snippet) = &mut failure.log_snippet {
        *snippet = masker.text(snippet);
    }
}
