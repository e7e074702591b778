//! Evaluation of a trigger's rules for a ref: specs of builds, or the reasons against them.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{
    BuildSpec, ImageReference, Invalid, Rule, Source, Trigger,
    concurrency::{Concurrency, Supersede},
    git::CommitId,
    options::{BuildArgName, Value},
    push::NamedRef,
    source::GitSource,
    spec::{Bounded, Destinations},
};

/// Upper bound in bytes of the commit message that a build receives.
const MESSAGE: usize = 4096;

/// Ref to build, with its commit if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The branch or tag.
    pub reference: NamedRef,
    /// Its commit; if absent, the ref's tip at the time of the build.
    pub commit: Option<CommitId>,
    /// The commit's message.
    pub message: Option<String>,
}

/// Result of one rule for a ref.
#[derive(Debug, Clone, PartialEq)]
pub enum Ruling {
    /// The rule matches: this spec is built.
    Builds(Box<BuildSpec>),
    /// The rule matches, but no valid build results: the reason.
    Fails(Invalid),
    /// The rule does not apply: the reason.
    Passes(&'static str),
}

impl Rule {
    /// Evaluates this rule of a trigger for a ref.
    pub fn judge(&self, trigger: &Trigger, subject: &Subject) -> Ruling {
        if !self.enabled {
            return Ruling::Passes("the rule is off");
        }
        if self.source_type != subject.reference.kind {
            return Ruling::Passes("the rule is for refs of the other kind");
        }
        match self.source.captures(subject.reference.name.as_str()) {
            None => Ruling::Passes("the name does not match"),
            Some(captures) => self
                .spec(trigger, subject, &captures)
                .map_or_else(Ruling::Fails, |spec| Ruling::Builds(Box::new(spec))),
        }
    }

    /// Returns the tags of a ref whose name yielded these captures, without duplicates.
    fn tags(&self, subject: &Subject, captures: &[String]) -> Result<Vec<String>, Invalid> {
        let mut tags = Vec::new();
        for template in self.tags.iter() {
            let tag = template
                .render(&subject.reference, subject.commit.as_ref(), captures)
                .map_err(|Invalid(why)| Invalid::new(format_args!("`{}` {why}", template.as_str())))?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    fn spec(&self, trigger: &Trigger, subject: &Subject, captures: &[String]) -> Result<BuildSpec, Invalid> {
        let tags = self.tags(subject, captures)?;
        let references = self
            .repositories
            .iter()
            .flat_map(|repository| tags.iter().map(move |tag| format!("{repository}:{tag}").parse()));
        let references = references.collect::<Result<Vec<ImageReference>, Invalid>>()?;
        let mut args: BTreeMap<BuildArgName, Value> = BTreeMap::new();
        if self.docker_hub_args {
            args.extend(self.docker_hub(subject, &tags, &references[0])?);
        }
        // The rule's own arguments come last, so that an explicit `CACHE_TAG` overrides Docker Hub's.
        args.extend(
            self.build_args
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Ok(BuildSpec {
            project: trigger.project.clone(),
            source: Source::Git(GitSource {
                url: trigger.settings.clone_url.clone(),
                reference: Some(subject.reference.full().parse()?),
                commit: subject.commit.clone(),
                sub_path: self.context.clone(),
            }),
            dockerfile: self.dockerfile.clone(),
            destinations: Destinations::try_from(references)?,
            build_args: Bounded::try_from(args)?,
            secrets: Default::default(),
            target: self.target.clone(),
            labels: Bounded::default(),
            platform: None,
            cache: self.cache.clone(),
            priority: self.priority,
            timeout_seconds: Default::default(),
            max_retries: Default::default(),
            resources: Default::default(),
            annotations: Bounded::default(),
            concurrency: self.concurrency(trigger, subject)?,
        })
    }

    /// Returns the build's concurrency group, if the rule supersedes older builds or names a group.
    fn concurrency(&self, trigger: &Trigger, subject: &Subject) -> Result<Option<Concurrency>, Invalid> {
        let group = match (&self.group, self.supersede) {
            (None, Supersede::None) => return Ok(None),
            (Some(group), _) => group.clone(),
            (None, _) => default_group(trigger, self, subject).parse()?,
        };
        Ok(Some(Concurrency {
            group,
            supersede: self.supersede,
        }))
    }

    /// Returns the variables that Docker Hub sets for its builds, as build arguments. `DOCKER_TAG` contains
    /// all tags, separated by commas, as on Docker Hub.
    fn docker_hub(
        &self,
        subject: &Subject,
        tags: &[String],
        first: &ImageReference,
    ) -> Result<Vec<(BuildArgName, Value)>, Invalid> {
        let commit = subject.commit.as_ref().map_or("", CommitId::as_str);
        let message = subject.message.as_deref().map_or_else(String::new, shortened);
        let variables = [
            ("SOURCE_BRANCH", subject.reference.name.to_string()),
            ("SOURCE_COMMIT", commit.to_owned()),
            ("COMMIT_MSG", message),
            ("DOCKER_REPO", first.repository().to_owned()),
            ("DOCKERFILE_PATH", self.dockerfile.to_string()),
            ("DOCKER_TAG", tags.join(",")),
            ("IMAGE_NAME", first.with_tag()),
            ("CACHE_TAG", String::new()),
        ];
        variables
            .into_iter()
            .map(|(name, value)| Ok((name.parse()?, value.parse()?)))
            .collect()
    }
}

/// Returns a group name for a trigger, rule and ref. Names of rules and refs may be as long as a group's
/// name, so a digest stands for them.
fn default_group(trigger: &Trigger, rule: &Rule, subject: &Subject) -> String {
    let digest = Sha256::digest(format!("{}\0{}", rule.name, subject.reference.full()));
    let name: String = subject.reference.name.as_str().chars().take(32).collect();
    format!("trigger {} {name} {}", trigger.id, hex::encode(&digest[..16]))
}

/// Returns the beginning of a message, without NULs, which no argument can contain.
fn shortened(message: &str) -> String {
    let message = message.replace('\0', "");
    let end = message.floor_char_boundary(MESSAGE);
    message[..end].to_owned()
}

#[cfg(test)]
mod tests;
