//! What is settled for projects, as builds are created and launched: read once for all that come within a moment.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::types::Json;

use super::{Store, StoreError};
use crate::domain::{ProjectName, ProjectSettings};

/// How long what was read serves: so long a change on another replica is not seen.
const FRESH: Duration = Duration::from_secs(2);
/// Projects that are kept before those out of date are thrown away.
const MANY: usize = 1024;

/// A project's settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// What its builds may do. Of a project that does not exist: nothing is settled.
    pub settings: Arc<ProjectSettings>,
    /// Whether it was removed, so that it takes no builds.
    pub removed: bool,
}

#[derive(Default)]
pub(super) struct Projects(Mutex<Known>);

#[derive(Default)]
struct Known {
    settings: HashMap<ProjectName, (Instant, Settings)>,
    /// Grows with every change here: what was read before it is not kept.
    changes: u64,
}

impl Projects {
    /// Something was changed here: it counts at once.
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
    /// What is settled for a project, at most two seconds ago.
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
