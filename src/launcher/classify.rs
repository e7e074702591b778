//! `slipway classify`: classifies recorded objects, for bug reports.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use k8s_openapi::{
    Resource,
    api::{
        batch::v1::Job,
        core::v1::{Event, Pod},
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_yaml_ng::{Mapping, Value};

use super::outcome::{Evidence, PodLog, sighting};
use crate::domain::{Digest, Failure, Outcome, Reason, Sighting, failure::Class};

/// Arguments of `slipway classify`.
#[derive(Debug, Clone, clap::Args)]
pub struct ClassifyArgs {
    /// Job, as `kubectl get job NAME -o yaml` (or json) prints it; an empty file stands for a Job that is
    /// gone
    #[arg(long, value_name = "FILE")]
    pub job: PathBuf,
    /// Pods of the Job: one or more files, each with one Pod, several documents or a List
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub pod: Vec<PathBuf>,
    /// Events about the Job and its Pods
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub events: Vec<PathBuf>,
    /// Logs, in the order of the given Pods; a single log belongs to the youngest Pod
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub log: Vec<PathBuf>,
}

/// Output of the command. Every field is present; an unknown value is `null`.
#[derive(Debug, Serialize)]
struct Answer {
    state: &'static str,
    reason: Option<Reason>,
    class: Option<Class>,
    retryable: Option<bool>,
    message: Option<String>,
    exit_code: Option<i32>,
    digest: Option<Digest>,
}

/// Reads the files, classifies the build and returns the result as one JSON object.
pub fn run(args: &ClassifyArgs) -> anyhow::Result<String> {
    let job = read::<Job>(&args.job)?.pop();
    let pods = read_all::<Pod>(&args.pod)?;
    let events = read_all::<Event>(&args.events)?;
    let logs = args
        .log
        .iter()
        .map(|path| fs::read(path).with_context(|| format!("cannot read {}", path.display())))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let names = names_for(&pods, logs.len());
    let logs: Vec<PodLog<'_>> = logs
        .iter()
        .zip(&names)
        .map(|(text, pod)| PodLog {
            pod,
            text,
            phase: None,
        })
        .collect();
    let seen = sighting(&Evidence {
        job: job.as_ref(),
        pods: &pods,
        events: &events,
        logs: &logs,
    });
    Ok(serde_json::to_string(&answer(seen, job.is_none()))?)
}

/// Returns the pod name of each log. A single log belongs to the youngest pod; several follow the order of
/// the pods. Surplus logs belong to pods that are gone, and get an empty name.
fn names_for(pods: &[Pod], logs: usize) -> Vec<String> {
    let name = |pod: &Pod| pod.metadata.name.clone().unwrap_or_default();
    if logs == 1 {
        let youngest = pods.iter().max_by_key(|pod| {
            (
                pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
                name(pod),
            )
        });
        return vec![youngest.map(name).unwrap_or_default()];
    }
    let mut names: Vec<String> = pods.iter().map(name).collect();
    names.resize(logs, String::new());
    names
}

fn answer(seen: Sighting, job_is_gone: bool) -> Answer {
    let last_failure = seen
        .attempts
        .iter()
        .rev()
        .find_map(|attempt| attempt.failure.clone());
    match seen.outcome {
        Outcome::Waiting {
            reason: None,
            message,
        } => match last_failure {
            // Between two attempts: the last failure is the cause of the next attempt.
            Some(failure) => Answer {
                state: "waiting",
                ..failed(failure)
            },
            None => Answer {
                message,
                ..bare("waiting")
            },
        },
        Outcome::Waiting {
            reason: Some(reason),
            message,
        } => Answer {
            message,
            ..because("waiting", reason)
        },
        Outcome::Running { .. } if job_is_gone => Answer {
            message: Some("The Job is gone, and its pod still runs.".to_owned()),
            ..bare("running")
        },
        Outcome::Running { .. } => bare("running"),
        Outcome::Succeeded { digest } => Answer {
            exit_code: Some(0),
            digest,
            ..bare("succeeded")
        },
        Outcome::Failed(failure) => failed(failure),
    }
}

fn bare(state: &'static str) -> Answer {
    Answer {
        state,
        reason: None,
        class: None,
        retryable: None,
        message: None,
        exit_code: None,
        digest: None,
    }
}

fn because(state: &'static str, reason: Reason) -> Answer {
    Answer {
        reason: Some(reason),
        class: Some(reason.class()),
        retryable: Some(reason.retryable()),
        ..bare(state)
    }
}

fn failed(failure: Failure) -> Answer {
    Answer {
        message: Some(failure.message),
        exit_code: failure.exit_code,
        ..because("failed", failure.reason)
    }
}

fn read_all<T: DeserializeOwned + Resource>(paths: &[PathBuf]) -> anyhow::Result<Vec<T>> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(read(path)?);
    }
    Ok(all)
}

/// Reads all objects of a kind in a file: documents, Lists, or bare lists of them. Objects of other kinds are
/// skipped.
fn read<T: DeserializeOwned + Resource>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let value = Value::deserialize(document).with_context(|| format!("{} is no YAML", path.display()))?;
        unpack(value, path, &mut objects)?;
    }
    objects
        .into_iter()
        .filter(|object| {
            object
                .get("kind")
                .and_then(Value::as_str)
                .is_none_or(|kind| kind == T::KIND)
        })
        .map(|mut object| {
            rename_event_fields(&mut object);
            // Items of a List may omit `kind` and `apiVersion`.
            object.insert("kind".into(), T::KIND.into());
            object.insert("apiVersion".into(), T::API_VERSION.into());
            let what = || format!("{} has a {} that cannot be read", path.display(), T::KIND);
            serde_yaml_ng::from_value(Value::Mapping(object)).with_context(what)
        })
        .collect()
}

fn unpack(value: Value, path: &Path, objects: &mut Vec<Mapping>) -> anyhow::Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Sequence(items) => items.into_iter().try_for_each(|item| unpack(item, path, objects)),
        Value::Mapping(mut mapping) => {
            match mapping.remove("items") {
                Some(items) => unpack(items, path, objects)?,
                None if mapping.is_empty() => {}
                None => objects.push(mapping),
            }
            Ok(())
        }
        _ => bail!("{} has something that is no Kubernetes object", path.display()),
    }
}

/// Renames the fields of an `events.k8s.io/v1` Event to those of a core Event.
fn rename_event_fields(object: &mut Mapping) {
    let names = [
        ("regarding", "involvedObject"),
        ("note", "message"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedCount", "count"),
    ];
    for (new, core) in names {
        if let Some(value) = object.remove(new) {
            object.insert(core.into(), value);
        }
    }
}
