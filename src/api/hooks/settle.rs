//! What a trigger's project settles of the builds that its rules ask for.

use super::intents::Judged;
use crate::{
    api::{ApiState, problem::Problem},
    domain::{BuildSpec, ProjectName, Trigger, delivery::Consequence},
    store::{Intent, Settings},
};

/// The same, with builds as the project settles them; those that it does not allow lead to nothing, and why. `anywhere`:
/// they may be pushed anywhere where the project settles nothing.
pub(in crate::api) async fn settled(
    state: &ApiState,
    trigger: &Trigger,
    judged: Judged,
    anywhere: bool,
) -> Result<Judged, Problem> {
    if judged.intents.is_empty() {
        return Ok(judged);
    }
    let terms = Terms::of(state, &trigger.project, anywhere).await?;
    let intents = judged.intents.into_iter().map(|intent| match intent {
        Intent::Build {
            rule,
            git_ref,
            spec,
            status,
            consequence,
        } => match terms.settle(*spec) {
            Ok(spec) => Intent::Build {
                rule,
                git_ref,
                spec: Box::new(spec),
                status,
                consequence,
            },
            Err(reason) => Intent::Nothing(Consequence {
                reason: Some(reason),
                ..consequence
            }),
        },
        nothing => nothing,
    });
    Ok(Judged::of(intents.collect()))
}

/// What a project allows.
pub(in crate::api) struct Terms {
    settings: Settings,
    anywhere: bool,
}

impl Terms {
    /// Of this project, now.
    pub(in crate::api) async fn of(
        state: &ApiState,
        project: &ProjectName,
        anywhere: bool,
    ) -> Result<Self, Problem> {
        Ok(Self {
            settings: state.store.project_settings(project).await?,
            anywhere: anywhere || state.options.allow_any_destination,
        })
    }

    /// The build as the project settles it, or why it may not be.
    pub(in crate::api) fn settle(&self, spec: BuildSpec) -> Result<BuildSpec, String> {
        if self.settings.removed {
            return Err("the project was removed, and takes no builds".to_owned());
        }
        self.settings
            .settings
            .settle(spec, self.anywhere)
            .map_err(|refusal| format!("{} {}", refusal.field, refusal.reason))
    }
}
