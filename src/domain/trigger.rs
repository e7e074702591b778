//! Triggers: links between a git repository and the images that are built from it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ImageRepository, Invalid, ProjectName, TriggerId,
    commit_status::StatusSettings,
    concurrency::{GroupName, Supersede},
    git::GitUrl,
    options::{BuildArgName, Cache, StageName},
    path::RelativePath,
    provider::Provider,
    push::RefKind,
    rule::{RefPattern, TagTemplate},
    spec::{Bounded, Priority},
    text::{plain, text_type},
};

text_type!(
    /// Name of a rule, unique within its trigger; builds and deliveries refer to it.
    #[schema(example = "releases", min_length = 1, max_length = 100)]
    RuleName,
    check_rule_name
);
text_type!(
    /// Name of a repository on its git host: `team/app`, `group/subgroup/app`, `PRJ/app`.
    #[schema(example = "team/app", min_length = 1, max_length = 255)]
    HostedName,
    check_hosted_name
);

/// Refs of a repository to build, how to build them, and the names of the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name of the rule.
    pub name: RuleName,
    /// Kind of the refs: branches or tags.
    pub source_type: RefKind,
    /// Name of one ref, or `/expression/`, which must match the whole name.
    pub source: RefPattern,
    /// Tags of the image: 1 to 16. Placeholders are `{sourceref}`, `{\1}` to `{\9}`,
    /// `${commit_info.short_sha}`, `${parsed_ref.branch}` and `${parsed_ref.tag}`; a slash becomes `-`.
    #[schema(value_type = Vec<TagTemplate>, min_items = 1, max_items = 16)]
    pub tags: Few<TagTemplate>,
    /// Repositories that the image is pushed to under each tag: 1 to 16.
    #[schema(value_type = Vec<ImageRepository>, min_items = 1, max_items = 16)]
    pub repositories: Few<ImageRepository>,
    /// The Dockerfile's path inside the context.
    #[serde(default = "super::spec::default_dockerfile")]
    pub dockerfile: RelativePath,
    /// The folder that is the context; the repository's root if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<RelativePath>,
    /// The stage to build; the last one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<StageName>,
    /// Build arguments in addition to Docker Hub's. The image's history contains them: do not put secrets
    /// here.
    #[serde(default, skip_serializing_if = "Bounded::is_empty")]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub build_args: Bounded<BuildArgName>,
    /// `true` if builds get Docker Hub's variables as build arguments: `SOURCE_BRANCH`, `SOURCE_COMMIT`,
    /// `COMMIT_MSG`, `DOCKER_REPO`, `DOCKERFILE_PATH`, `DOCKER_TAG`, `IMAGE_NAME`, `CACHE_TAG`.
    #[serde(default = "yes")]
    pub docker_hub_args: bool,
    /// Layer caching.
    #[serde(default)]
    pub cache: Cache,
    /// Priority within the project: -100 to 100; builds with a higher one start first.
    #[serde(default)]
    pub priority: Priority,
    /// Older builds of its group that a build supersedes; none if absent.
    #[serde(default = "none")]
    pub supersede: Supersede,
    /// Concurrency group, within the project; if absent, one for the trigger, rule and ref.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// `true` if the rule is enabled.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// List of 1 to 16 entries without duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "Vec<T>",
    into = "Vec<T>",
    bound(
        serialize = "T: Clone + Serialize",
        deserialize = "T: PartialEq + Deserialize<'de>"
    )
)]
pub struct Few<T>(Vec<T>);

impl<T> Few<T> {
    /// Returns all entries, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T: PartialEq> TryFrom<Vec<T>> for Few<T> {
    type Error = Invalid;

    fn try_from(all: Vec<T>) -> Result<Self, Invalid> {
        if !(1..=16).contains(&all.len()) {
            return Err(Invalid::new("must have 1 to 16 entries"));
        }
        if all.iter().enumerate().any(|(i, one)| all[..i].contains(one)) {
            return Err(Invalid::new("must not have an entry twice"));
        }
        Ok(Self(all))
    }
}

impl<T> From<Few<T>> for Vec<T> {
    fn from(few: Few<T>) -> Self {
        few.0
    }
}

/// Rules of a trigger: at most 50, with unique names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Vec<Rule>", into = "Vec<Rule>")]
#[schema(value_type = Vec<Rule>, max_items = 50)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Returns all rules, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

impl TryFrom<Vec<Rule>> for Rules {
    type Error = Invalid;

    fn try_from(all: Vec<Rule>) -> Result<Self, Invalid> {
        if all.len() > 50 {
            return Err(Invalid::new("must have at most 50 entries"));
        }
        for (i, one) in all.iter().enumerate() {
            if all[..i].iter().any(|other| other.name == one.name) {
                return Err(Invalid::new(format_args!("has two rules called {}", one.name)));
            }
            let (tags, repositories) = (one.tags.0.len(), one.repositories.0.len());
            if tags * repositories > 16 {
                return Err(Invalid::new(format_args!(
                    "has a rule, {}, that would push to {} places: at most 16",
                    one.name,
                    tags * repositories
                )));
            }
        }
        Ok(Self(all))
    }
}

impl From<Rules> for Vec<Rule> {
    fn from(rules: Rules) -> Self {
        rules.0
    }
}

/// Settings of a trigger that a caller makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerSettings {
    /// The repository, whose name deliveries must contain; a note only, for providers whose deliveries name
    /// none.
    pub repository: HostedName,
    /// Address from which builds clone the repository.
    pub clone_url: GitUrl,
    /// Rules for the refs to build.
    pub rules: Rules,
    /// `true` if deliveries lead to builds.
    pub enabled: bool,
    /// Target of commit statuses on the git host; none are sent if absent.
    pub commit_status: Option<StatusSettings>,
}

/// Trigger without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its identifier.
    pub id: TriggerId,
    /// Project that owns the trigger and its builds.
    pub project: ProjectName,
    /// Sender of its deliveries: determines how they are verified and read.
    pub provider: Provider,
    /// Settings of the trigger.
    pub settings: TriggerSettings,
    /// Time at which it was created.
    pub created_at: Timestamp,
    /// Time of its last change.
    pub updated_at: Timestamp,
    /// Version, which grows with every change.
    pub version: i64,
}

fn none() -> Supersede {
    Supersede::None
}

fn yes() -> bool {
    true
}

fn check_rule_name(text: &str) -> Result<(), Invalid> {
    plain(text, 100)
}

fn check_hosted_name(text: &str) -> Result<(), Invalid> {
    plain(text, 255)?;
    if text.contains(char::is_whitespace) || text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Invalid::new(
            "must be a repository's name with its owner, as in team/app",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(name: &str) -> Value {
        json!({
            "name": name, "source_type": "branch", "source": "main", "tags": ["latest"],
            "repositories": ["registry.example/team/app"],
        })
    }

    fn refused(rules: Value) -> String {
        serde_json::from_value::<Rules>(rules)
            .expect_err("it is refused")
            .to_string()
    }

    #[test]
    fn what_a_rule_leaves_out_has_its_default() {
        let rule: Rule = serde_json::from_value(rule("main")).expect("a rule");
        assert_eq!(rule.dockerfile.as_str(), "Dockerfile");
        assert!(rule.enabled && rule.docker_hub_args && !rule.cache.enabled);
        assert_eq!(rule.supersede, Supersede::None);
    }

    #[test]
    fn what_a_rule_is_made_of_is_checked() {
        for (field, value) in [
            ("source", json!("/(/")),
            ("source", json!("")),
            ("source_type", json!("commit")),
            ("tags", json!([])),
            ("tags", json!(["a", "a"])),
            ("tags", json!(["{unknown}"])),
            ("repositories", json!(["team/app"])),
            ("repositories", json!(["registry.example/team/app:tag"])),
            ("dockerfile", json!("../Dockerfile")),
            ("context", json!("/etc")),
            ("build_args", json!({"LD_PRELOAD": "x"})),
            ("colour", json!("red")),
        ] {
            let mut odd = rule("main");
            odd[field] = value;
            assert!(serde_json::from_value::<Rule>(odd.clone()).is_err(), "{odd}");
        }
    }

    #[test]
    fn rules_are_told_apart_by_their_names() {
        let both = json!([rule("a"), rule("a")]);
        assert!(refused(both).contains("two rules called a"));
        let mut wide = rule("a");
        wide["tags"] = json!((0..5).map(|n| n.to_string()).collect::<Vec<_>>());
        wide["repositories"] = json!(
            (0..4)
                .map(|n| format!("registry.example/team/app{n}"))
                .collect::<Vec<_>>()
        );
        assert!(refused(json!([wide])).contains("20 places"));
        let many: Vec<Value> = (0..51).map(|n| rule(&n.to_string())).collect();
        assert!(refused(json!(many)).contains("at most 50"));
    }

    #[test]
    fn repositories_are_named_as_hosts_name_them() {
        for text in ["team/app", "group/sub/app", "PRJ/app", "app", "~user/app"] {
            assert!(text.parse::<HostedName>().is_ok(), "{text}");
        }
        for text in ["", "/app", "team/", "a//b", "a b", "../app", "a\0"] {
            assert!(text.parse::<HostedName>().is_err(), "{text}");
        }
    }
}
