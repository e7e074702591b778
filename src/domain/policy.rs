//! Application of a project's settings to a request: fills in defaults, refuses what the project does not
//! allow.

use super::{
    BuildSpec, ProjectSettings, ProjectTerms, Source,
    options::Resources,
    quantity::{Cpu, Memory},
    settings::SourceKind,
    text::Invalid,
};

/// Reason why a project may not make a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Field that is refused, such as `destinations[0]`.
    pub field: String,
    /// Predicate of a sentence whose subject is the field's name.
    pub reason: Invalid,
}

impl Refusal {
    fn new(field: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self {
            field: field.into(),
            reason: Invalid::new(reason),
        }
    }
}

impl ProjectSettings {
    /// Returns the request to store, with the project's defaults. If the project's settings name no
    /// destinations, `anywhere` decides whether images may be pushed anywhere.
    ///
    /// # Errors
    /// Fails if the project does not allow the destination, the source, the secrets or the resources.
    pub fn settle(&self, mut spec: BuildSpec, anywhere: bool) -> Result<BuildSpec, Refusal> {
        self.check_source(&spec.source)?;
        self.check_destinations(&spec, anywhere)?;
        self.allow_secrets(&spec.secrets)
            .map_err(|(place, why)| Refusal::new(format!("secrets[{place}].secret"), why))?;
        spec.resources = self.resources(&spec.resources)?;
        Ok(spec)
    }

    fn check_source(&self, source: &Source) -> Result<(), Refusal> {
        let kind = SourceKind::of(source);
        if self.sources.as_ref().is_some_and(|kinds| !kinds.contains(&kind)) {
            let reason = format_args!("must not be {}: the project does not allow it", kind.as_str());
            return Err(Refusal::new("source", reason));
        }
        match (source, &self.claims) {
            (Source::Volume(volume), Some(claims)) if !claims.contains(&volume.claim) => Err(Refusal::new(
                "source.volume.claim",
                "is none of those that the project allows",
            )),
            _ => Ok(()),
        }
    }

    fn check_destinations(&self, spec: &BuildSpec, anywhere: bool) -> Result<(), Refusal> {
        let named = spec.destinations.iter().enumerate();
        let pushed = named.map(|(i, image)| (format!("destinations[{i}]"), image.repository()));
        let cache = spec.cache.repository.as_ref().filter(|_| spec.cache.enabled);
        let cache = cache.map(|cache| ("cache.repository".to_owned(), cache.as_str()));
        for (field, repository) in pushed.chain(cache) {
            let allowed = match &self.destinations {
                None => anywhere,
                Some(allowed) => allowed.iter().any(|prefix| prefix.covers(repository)),
            };
            if !allowed {
                let reason = "is outside of where the project's images may be pushed";
                return Err(Refusal::new(field, reason));
            }
        }
        Ok(())
    }

    /// Returns the requested resources, else the project's defaults, else the project's maximum.
    fn resources(&self, asked: &Resources) -> Result<Resources, Refusal> {
        let (default, most) = (&self.default_resources, &self.max_resources);
        let cpu = asked.cpu.as_ref().or(default.cpu.as_ref()).or(most.cpu.as_ref());
        let memory = asked
            .memory
            .as_ref()
            .or(default.memory.as_ref())
            .or(most.memory.as_ref());
        within(cpu, most.cpu.as_ref(), Cpu::millicores, "resources.cpu")?;
        within(memory, most.memory.as_ref(), Memory::bytes, "resources.memory")?;
        Ok(Resources {
            cpu: cpu.cloned(),
            memory: memory.cloned(),
        })
    }
}

fn within<T: std::fmt::Display>(
    wanted: Option<&T>,
    most: Option<&T>,
    amount: impl Fn(&T) -> u64,
    field: &str,
) -> Result<(), Refusal> {
    match (wanted, most) {
        (Some(wanted), Some(most)) if amount(wanted) > amount(most) => Err(Refusal::new(
            field,
            format_args!("must be at most {most}, the project's maximum"),
        )),
        _ => Ok(()),
    }
}

impl ProjectTerms {
    /// Checks the constraints between a project's limits and settings.
    ///
    /// # Errors
    /// Fails if a number is out of bounds, a default is above its maximum, or the default registry is not an
    /// allowed destination.
    pub fn check(&self) -> Result<(), Refusal> {
        let limits = [
            ("max_running", self.max_running),
            ("max_queued", self.max_queued),
            ("max_per_hour", self.max_per_hour),
        ];
        for (field, limit) in limits {
            if limit.is_some_and(|limit| i32::try_from(limit).is_err()) {
                return Err(Refusal::new(field, "must be at most 2147483647"));
            }
        }
        if !(1..=1000).contains(&self.weight) {
            return Err(Refusal::new("weight", "must be between 1 and 1000"));
        }
        let settings = &self.settings;
        settings
            .resources(&Resources::default())
            .map_err(|refusal| Refusal {
                field: format!("settings.default_{}", refusal.field),
                ..refusal
            })?;
        match (&settings.default_registry, &settings.destinations) {
            (Some(registry), Some(allowed)) if !allowed.iter().any(|one| one.covers(registry.as_str())) => {
                Err(Refusal::new(
                    "settings.default_registry",
                    "is outside of settings.destinations",
                ))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
