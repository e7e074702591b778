//! `slipway project`.

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

/// The settings of `slipway project`.
#[derive(Debug, Args)]
pub struct ProjectsArgs {
    /// What to do.
    #[command(subcommand)]
    command: ProjectCommand,

    /// The service.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

/// What can be done with projects.
#[derive(Debug, Subcommand)]
enum ProjectCommand {
    /// List projects.
    #[command(visible_alias = "ls")]
    List,
    /// Show a project: its terms as JSON.
    Show {
        /// The project
        #[arg(value_name = "PROJECT")]
        name: ProjectName,
    },
    /// Make a project, or change what is settled for it; what is not named stays as it is.
    Set(Box<SetArgs>),
    /// Remove a project that has no unfinished builds; its tokens are revoked.
    Delete {
        /// The project
        #[arg(value_name = "PROJECT")]
        name: ProjectName,
    },
}

/// The settings of `slipway project set`.
#[derive(Debug, Args)]
struct SetArgs {
    /// The project
    #[arg(value_name = "PROJECT")]
    name: ProjectName,

    /// A file of JSON with all of its terms, as `slipway project show` prints them; `-` is standard input
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,

    /// Builds that may run at once, or `none`: the service's default
    #[arg(long, value_name = "N|none")]
    max_running: Option<Limit>,

    /// Builds that may wait at once, or `none`
    #[arg(long, value_name = "N|none")]
    max_queued: Option<Limit>,

    /// Builds that may be created within an hour, or `none`
    #[arg(long, value_name = "N|none")]
    max_per_hour: Option<Limit>,

    /// Its share: free slots go to the project that holds the least for its weight
    #[arg(long, value_name = "N")]
    weight: Option<u32>,

    /// Where its images may be pushed, such as registry.example.com/team; may be repeated, and replaces all that was named
    #[arg(long = "destination", value_name = "HOST[/PATH]")]
    destinations: Vec<RepositoryPrefix>,

    /// What completes a destination that names no registry
    #[arg(long, value_name = "HOST[/PATH]")]
    default_registry: Option<RepositoryPrefix>,

    /// The Secret with which its images are pushed
    #[arg(long, value_name = "SECRET")]
    push_secret: Option<SecretName>,

    /// The Secret with which its base images are pulled, where --push-mode is isolated
    #[arg(long, value_name = "SECRET")]
    pull_secret: Option<SecretName>,

    /// Whether the container that runs its Dockerfiles is the one that pushes
    #[arg(long, value_enum, value_name = "MODE")]
    push_mode: Option<Mode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Direct,
    Isolated,
}

/// A limit, or the service's default.
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
    /// The terms with what was named.
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

/// Says of which project there is none.
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
