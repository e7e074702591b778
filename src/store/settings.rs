//! Cache of the projects' settings, for the creation and launch of builds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::types::Json;

use super::{Store, StoreError};
use crate::domain::{ProjectName, ProjectSettings};

/// Time for which cached settings are used; a change on another replica takes effect after that time.
const FRESH: Duration = Duration::from_secs(2);
/// Number of cached projects at which the stale ones are dropped.
const MANY: usize = 1024;

/// Settings of a project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Settings of its builds; the defaults if the project does not exist.
    pub settings: Arc<ProjectSettings>,
    /// `true` if the project was removed and takes no builds.
    pub removed: bool,
}

#[derive(Default)]
pub(super) struct Projects(Mutex<Known>);

#[derive(Default)]
struct Known {
    settings: HashMap<ProjectName, (Instant, Settings)>,
    /// Increases with every change by this process: settings read before a change are not cached.
    changes: u64,
}

impl Projects {
    /// Drops all cached settings, so that a change by this process takes effect at once.
    pub(super) fn forget(&self) {
        let mut known = self.lock();
        known.settings.clear();
        known.changes += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Returns the settings of a project, at most two seconds old.
    pub async fn project_settings(&self, name: &ProjectName) -> Result<Settings, StoreError> {
        let changes = {
            let known = self.projects.lock();
            match known.settings.get(name) {
                Some((read, settings)) if read.elapsed() < FRESH => return Ok(settings.clone()),
                _ => known.changes,
            }
        };
        let asked = Instant::now();
        let row = sqlx::query!(
            r#"SELECT settings AS "settings: Json<ProjectSettings>", removed_at IS NOT NULL AS "removed!"
            FROM projects WHERE name = $1"#,
            name.as_str()
        )
        .fetch_optional(&self.pool)
        .await?;
        let settings = row.map_or_else(Settings::default, |row| Settings {
            settings: Arc::new(row.settings.0),
            removed: row.removed,
        });
        let mut known = self.projects.lock();
        if known.changes == changes {
            if known.settings.len() >= MANY {
                known.settings.retain(|_, (read, _)| read.elapsed() < FRESH);
            }
            known.settings.insert(name.clone(), (asked, settings.clone()));
        }
        Ok(settings)
    }
}
