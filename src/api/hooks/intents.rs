//! What a delivery may lead to, by the rules of its trigger.

use crate::{
    domain::{
        Rule, Trigger,
        commit_status::StatusTarget,
        delivery::{Consequence, Verdict},
        push::{NamedRef, RefKind},
        ruled::{Ruling, Subject},
    },
    store::Intent,
    webhooks::{Change, Content, Delivery, Wanted},
};

/// The most builds that one delivery makes.
const MOST: usize = 100;

/// What a delivery amounts to.
#[derive(Debug)]
pub(in crate::api) struct Judged {
    /// Ref by ref, rule by rule.
    pub intents: Vec<Intent>,
    /// Why nothing comes of it, where nothing does.
    pub without: Option<(Verdict, String)>,
}

impl Judged {
    fn skipped(reason: impl Into<String>) -> Self {
        Self {
            intents: Vec::new(),
            without: Some((Verdict::Skipped, reason.into())),
        }
    }

    /// Of what was not wanted.
    pub(in crate::api) fn refused(reason: impl Into<String>) -> Self {
        Self {
            intents: Vec::new(),
            without: Some((Verdict::Refused, reason.into())),
        }
    }

    /// Of these intents: where none of them is a build, the only reason, or that there are several.
    pub(in crate::api) fn of(mut intents: Vec<Intent>) -> Self {
        limit(&mut intents);
        let mut reasons = intents.iter().filter_map(|intent| match intent {
            Intent::Nothing(consequence) => consequence.reason.clone(),
            Intent::Build { .. } => None,
        });
        let first = reasons.next();
        let reason = match (first, reasons.next()) {
            (Some(only), None) => only,
            (Some(_), Some(_)) => "nothing of it leads to a build: see the consequences".to_owned(),
            (None, _) => "it names nothing that could be built".to_owned(),
        };
        Self {
            intents,
            without: Some((Verdict::Skipped, reason)),
        }
    }
}

/// What a delivery that was verified and read may lead to.
pub(in crate::api) fn judge(trigger: &Trigger, delivery: Delivery) -> Judged {
    let bound = trigger.settings.repository.as_str();
    if let Some(other) = delivery
        .repository
        .filter(|repository| !repository.name.eq_ignore_ascii_case(bound))
    {
        let other: String = other.name.chars().take(255).collect();
        return Judged::refused(format!(
            "it is of the repository {other:?}, and the trigger is for {bound:?}"
        ));
    }
    match delivery.content {
        Content::Ping => Judged::skipped("the host tries the address out"),
        Content::Other => {
            let event: String = delivery.event.chars().take(100).collect();
            Judged::skipped(format!("events {event:?} lead to nothing here"))
        }
        Content::Changes(changes) => Judged::of(
            changes
                .into_iter()
                .flat_map(|change| of_change(trigger, change))
                .collect(),
        ),
        Content::Wanted(wanted) => Judged::of(of_wanted(trigger, wanted)),
    }
}

fn of_change(trigger: &Trigger, change: Change) -> Vec<Intent> {
    let push = match change {
        Change::Pushed(push) => push,
        Change::Deleted(reference) => {
            return vec![nothing(Some(&reference), "the ref was deleted")];
        }
        Change::Unbuildable(reason) => return vec![nothing(None, &reason)],
    };
    let skips = push.skipped_by();
    let subject = Subject {
        reference: push.reference,
        commit: Some(push.commit),
        message: push.message,
    };
    match skips {
        Some(words) => vec![Intent::Nothing(Consequence::nothing(
            Some(&subject.reference),
            subject.commit.as_ref(),
            format!("the commit's message says {words}"),
        ))],
        None => of_ref(trigger, &subject, None),
    }
}

/// What the rules make of a ref; only this rule, where one is named.
pub(in crate::api) fn of_ref(trigger: &Trigger, subject: &Subject, only: Option<&str>) -> Vec<Intent> {
    let rules = trigger
        .settings
        .rules
        .iter()
        .filter(|rule| only.is_none_or(|only| rule.name.as_str() == only));
    let intents: Vec<Intent> = rules.filter_map(|rule| of_rule(trigger, rule, subject)).collect();
    if intents.is_empty() {
        let kind = match subject.reference.kind {
            RefKind::Branch => "branch",
            RefKind::Tag => "tag",
        };
        let reason = format!("no rule matches the {kind} {}", subject.reference.name);
        return vec![Intent::Nothing(Consequence::nothing(
            Some(&subject.reference),
            subject.commit.as_ref(),
            reason,
        ))];
    }
    intents
}

/// `None`: the rule does not match.
fn of_rule(trigger: &Trigger, rule: &Rule, subject: &Subject) -> Option<Intent> {
    let consequence = Consequence {
        ref_type: Some(subject.reference.kind),
        ref_name: Some(subject.reference.name.to_string()),
        commit: subject.commit.clone(),
        rule: Some(rule.name.clone()),
        destinations: Vec::new(),
        build_id: None,
        reason: None,
    };
    match rule.judge(trigger, subject) {
        Ruling::Passes(_) => None,
        Ruling::Fails(why) => Some(Intent::Nothing(Consequence {
            reason: Some(why.0),
            ..consequence
        })),
        Ruling::Builds(spec) => Some(Intent::Build {
            rule: rule.name.clone(),
            status: subject
                .commit
                .as_ref()
                .and_then(|commit| StatusTarget::of(trigger, &rule.name, commit))
                .map(Box::new),
            git_ref: subject.reference.full(),
            consequence: Consequence {
                destinations: spec.destinations.iter().map(ToString::to_string).collect(),
                ..consequence
            },
            spec,
        }),
    }
}

/// A call as Docker Hub's build trigger takes it.
fn of_wanted(trigger: &Trigger, wanted: Wanted) -> Vec<Intent> {
    match wanted {
        Wanted::Ref(reference) => of_ref(trigger, &tip(reference), None),
        Wanted::Everything => of_named(trigger, |_| true),
        Wanted::Tag(tag) => {
            let intents = of_named(
                trigger,
                |intent| matches!(intent, Intent::Build { spec, .. } if spec.destinations.iter().any(|one| one.tag() == tag)),
            );
            if intents.is_empty() {
                let tag: String = tag.chars().take(128).collect();
                return vec![nothing(
                    None,
                    &format!("no rule for one ref gives the tag {tag:?}"),
                )];
            }
            intents
        }
    }
}

/// What those rules make of their refs that name one.
fn of_named(trigger: &Trigger, wanted: impl Fn(&Intent) -> bool) -> Vec<Intent> {
    let rules = trigger.settings.rules.iter();
    rules
        .filter_map(|rule| {
            let name = rule.source.name()?.parse().ok()?;
            let reference = NamedRef {
                kind: rule.source_type,
                name,
            };
            of_rule(trigger, rule, &tip(reference))
        })
        .filter(wanted)
        .collect()
}

/// A ref as it is at the time of the build.
fn tip(reference: NamedRef) -> Subject {
    Subject {
        reference,
        commit: None,
        message: None,
    }
}

fn nothing(reference: Option<&NamedRef>, reason: &str) -> Intent {
    Intent::Nothing(Consequence::nothing(reference, None, reason))
}

/// Lets the first of them be builds.
fn limit(intents: &mut [Intent]) {
    let builds = intents
        .iter_mut()
        .filter(|intent| matches!(intent, Intent::Build { .. }));
    for intent in builds.skip(MOST) {
        if let Intent::Build { consequence, .. } = intent {
            *intent = Intent::Nothing(Consequence {
                reason: Some(format!("one delivery makes at most {MOST} builds")),
                ..consequence.clone()
            });
        }
    }
}
