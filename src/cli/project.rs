//! Implements `slipway project`.

use std::{fs, io::Read, path::PathBuf, str::FromStr};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{
    ending::{Ending, Failure},
    screen::{Screen, Table},
    settings::{Output, ServiceArgs, Settings},
};
use crate::{
    client::ClientError,
    domain::{
        ProjectName, ProjectTerms, RepositoryPrefix,
        settings::{PushMode, SecretName},
    },
};

/// Arguments of `slipway project`.
#[derive(Debug, Args)]
pub struct ProjectsArgs {
    /// Subcommand to run.
    #[command(subcommand)]
    command: ProjectCommand,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

/// Subcommands of `slipway project`.
#[derive(Debug, Subcommand)]
enum ProjectCommand {
    /// List projects.
    #[command(visible_alias = "ls")]
    List,
    /// Show a project's limits and settings, as JSON.
    Show {
        /// The project
        #[arg(value_name = "PROJECT")]
        name: ProjectName,
    },
    /// Create a project, or change its limits and settings; what no option names stays as it is.
    Set(Box<SetArgs>),
    /// Delete a project that has no unfinished builds, and revoke its tokens.
    Delete {
        /// The project
        #[arg(value_name = "PROJECT")]
        name: ProjectName,
    },
}

/// Arguments of `slipway project set`.
#[derive(Debug, Args)]
struct SetArgs {
    /// The project
    #[arg(value_name = "PROJECT")]
    name: ProjectName,

    /// A JSON file with all limits and settings, as `slipway project show` prints them; `-` is standard input
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,

    /// Builds that may run at once, or `none` for the service's default
    #[arg(long, value_name = "N|none")]
    max_running: Option<Limit>,

    /// Builds that may be queued at once, or `none`
    #[arg(long, value_name = "N|none")]
    max_queued: Option<Limit>,

    /// Builds that may be created within an hour, or `none`
    #[arg(long, value_name = "N|none")]
    max_per_hour: Option<Limit>,

    /// The project's weight: a free slot goes to the project that holds the fewest for its weight
    #[arg(long, value_name = "N")]
    weight: Option<u32>,

    /// A registry or path that images may be pushed to, such as registry.example.com/team; may be repeated,
    /// and replaces the present list
    #[arg(long = "destination", value_name = "HOST[/PATH]")]
    destinations: Vec<RepositoryPrefix>,

    /// The registry, or registry and path, that completes a destination without a registry
    #[arg(long, value_name = "HOST[/PATH]")]
    default_registry: Option<RepositoryPrefix>,

    /// The Secret with the credentials that push images
    #[arg(long, value_name = "SECRET")]
    push_secret: Option<SecretName>,

    /// The Secret with the credentials that pull base images, with --push-mode=isolated
    #[arg(long, value_name = "SECRET")]
    pull_secret: Option<SecretName>,

    /// Push from the container that runs the Dockerfile (direct), or from another one (isolated)
    #[arg(long, value_enum, value_name = "MODE")]
    push_mode: Option<Mode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Direct,
    Isolated,
}

/// A limit; `None` stands for the service's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit(Option<u32>);

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(None)),
            _ => text
                .parse()
                .map(|limit| Self(Some(limit)))
                .map_err(|_| "write a whole number, or `none`"),
        }
    }
}

pub(super) async fn run(args: ProjectsArgs, screen: &mut Screen) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    match args.command {
        ProjectCommand::List => list(&settings, screen).await?,
        ProjectCommand::Show { name } => {
            let (project, _) = settings.client.project(&name).await.map_err(named(&name))?;
            let text = match settings.output {
                Output::Json => project.text,
                Output::Text => pretty(&project.value.terms),
            };
            screen.result(&text)?;
        }
        ProjectCommand::Set(args) => set(*args, &settings, screen).await?,
        ProjectCommand::Delete { name } => {
            settings
                .client
                .remove_project(&name)
                .await
                .map_err(named(&name))?;
            screen.note(&format!("{name} is removed"));
        }
    }
    Ok(Ending::Done)
}

async fn list(settings: &Settings, screen: &mut Screen) -> Result<(), Failure> {
    let mut table = Table::new(&[
        "PROJECT",
        "RUNNING",
        "QUEUED",
        "AN HOUR",
        "WEIGHT",
        "DESTINATIONS",
    ]);
    let mut cursor = None;
    loop {
        let page = settings.client.projects(cursor.as_deref()).await?;
        if settings.output == Output::Json {
            screen.result(&page.text)?;
        }
        for project in &page.value.projects {
            let terms = &project.terms;
            let limit = |limit: Option<u32>| limit.map(|limit| limit.to_string()).unwrap_or_default();
            let destinations = terms.settings.destinations.as_deref().unwrap_or_default();
            let destinations: Vec<_> = destinations.iter().map(RepositoryPrefix::as_str).collect();
            table.add(vec![
                (&project.name).into(),
                limit(terms.max_running).into(),
                limit(terms.max_queued).into(),
                limit(terms.max_per_hour).into(),
                terms.weight.to_string().into(),
                destinations.join(" ").into(),
            ]);
        }
        cursor = page.value.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if settings.output == Output::Text {
        screen.result(&table.draw(""))?;
    }
    Ok(())
}

async fn set(args: SetArgs, settings: &Settings, screen: &mut Screen) -> Result<(), Failure> {
    let client = &settings.client;
    let name = args.name.clone();
    let known = match client.project(&name).await {
        Ok((project, tag)) => Some((project.value.terms, tag)),
        Err(ClientError::Problem(problem)) if problem.status == 404 => None,
        Err(error) => return Err(error.into()),
    };
    let (old, tag) = known.map_or_else(Default::default, |(terms, tag)| (terms, Some(tag)));
    let terms = args.apply(old)?;
    let project = match &tag {
        Some(tag) => client.change_project(&name, tag, &terms).await?,
        None => client.create_project(&name, &terms).await?,
    };
    let text = match settings.output {
        Output::Json => project.text,
        Output::Text => pretty(&project.value.terms),
    };
    Ok(screen.result(&text)?)
}

impl SetArgs {
    /// Returns the old terms, or those of `--terms`, changed by the options that were given.
    fn apply(self, old: ProjectTerms) -> Result<ProjectTerms, Failure> {
        let mut terms = match &self.terms {
            Some(path) => read(path)?,
            None => old,
        };
        let limit = |given: Option<Limit>, limit: &mut Option<u32>| {
            if let Some(Limit(given)) = given {
                *limit = given;
            }
        };
        limit(self.max_running, &mut terms.max_running);
        limit(self.max_queued, &mut terms.max_queued);
        limit(self.max_per_hour, &mut terms.max_per_hour);
        terms.weight = self.weight.unwrap_or(terms.weight);
        let settings = &mut terms.settings;
        if !self.destinations.is_empty() {
            settings.destinations = Some(self.destinations);
        }
        settings.default_registry = self.default_registry.or(settings.default_registry.take());
        settings.push_secret = self.push_secret.or(settings.push_secret.take());
        settings.pull_secret = self.pull_secret.or(settings.pull_secret.take());
        settings.push_mode = match self.push_mode {
            Some(Mode::Direct) => PushMode::Direct,
            Some(Mode::Isolated) => PushMode::Isolated,
            None => settings.push_mode,
        };
        Ok(terms)
    }
}

fn read(path: &std::path::Path) -> Result<ProjectTerms, Failure> {
    let shown = path.display();
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let text = text.map_err(|error| Failure::Local(format!("{shown} cannot be read: {error}")))?;
    serde_json::from_str(&text).map_err(|error| Failure::Input(format!("--terms={shown}: {error}")))
}

fn pretty(terms: &ProjectTerms) -> String {
    serde_json::to_string_pretty(&json!(terms)).expect("terms can be written as JSON")
}

/// Turns a 404 into an error that names the project.
fn named(name: &ProjectName) -> impl Fn(ClientError) -> Failure + '_ {
    move |error| match error {
        ClientError::Problem(problem) if problem.status == 404 => {
            Failure::Input(format!("there is no project {name}"))
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        set: SetArgs,
    }

    fn apply(args: &[&str], old: ProjectTerms) -> ProjectTerms {
        let line = ["set", "team"].iter().chain(args);
        Line::parse_from(line).set.apply(old).expect("it can be applied")
    }

    #[test]
    fn what_is_not_named_stays() {
        let first = apply(
            &[
                "--max-queued=5",
                "--weight=2",
                "--destination=a.example/x",
                "--push-secret=s",
            ],
            ProjectTerms::default(),
        );
        assert_eq!((first.max_queued, first.weight), (Some(5), 2));
        let second = apply(
            &["--max-queued=none", "--max-running=1", "--push-mode=isolated"],
            first,
        );
        assert_eq!(
            (second.max_queued, second.max_running, second.weight),
            (None, Some(1), 2)
        );
        let settings = second.settings;
        assert_eq!(settings.push_mode, PushMode::Isolated);
        assert_eq!(settings.push_secret.as_ref().map(SecretName::as_str), Some("s"));
        assert_eq!(settings.destinations.map(|all| all.len()), Some(1));
    }
}
