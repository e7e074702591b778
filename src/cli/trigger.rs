//! Implements `slipway trigger`.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    deliveries,
    ending::{Ending, Failure},
    screen::{Screen, Table},
    settings::{Output, ProjectArgs, ServiceArgs, Settings},
};
use crate::{
    client::{ClientError, Json, Rulings, Trigger},
    domain::TriggerId,
};

/// Arguments of `slipway trigger`.
#[derive(Debug, Args)]
pub struct TriggerArgs {
    /// Subcommand to run.
    #[command(subcommand)]
    command: TriggerCommand,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

/// Subcommands of `slipway trigger`.
#[derive(Debug, Subcommand)]
enum TriggerCommand {
    /// Create a trigger, and print its address and its secret, which is shown only now.
    Create {
        /// A JSON file with provider, repository, clone_url, rules etc. (see docs/webhooks); `-` is stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Project option.
        #[command(flatten)]
        project: ProjectArgs,
    },
    /// List triggers.
    #[command(visible_alias = "ls")]
    List {
        /// Project option.
        #[command(flatten)]
        project: ProjectArgs,
    },
    /// Show a trigger with its rules, as JSON.
    Show {
        /// The trigger
        id: TriggerId,
    },
    /// Change a trigger: the fields in a JSON file replace its own, the others stay.
    Change {
        /// The trigger
        id: TriggerId,
        /// The file; `-` is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Delete triggers and their deliveries; their builds stay.
    Delete {
        /// The triggers
        #[arg(required = true, value_name = "ID")]
        ids: Vec<TriggerId>,
    },
    /// Replace a trigger's secret, and print the new one, which is shown only now.
    Rotate {
        /// The trigger
        id: TriggerId,
        /// The time for which the old secret stays valid
        #[arg(long, default_value = "24h", value_parser = overlap, value_name = "DURATION")]
        overlap: Duration,
    },
    /// Show what the rules would build of a ref, without building it.
    DryRun {
        /// The trigger
        id: TriggerId,
        /// Branch or tag.
        #[command(flatten)]
        subject: SubjectArgs,
    },
    /// Build a ref now, even if it was built before.
    Build {
        /// The trigger
        id: TriggerId,
        /// Branch or tag.
        #[command(flatten)]
        subject: SubjectArgs,
        /// Apply only this rule
        #[arg(long, value_name = "NAME")]
        rule: Option<String>,
    },
}

/// A branch or a tag.
#[derive(Debug, Args)]
#[group(skip)]
struct SubjectArgs {
    /// A branch
    #[arg(
        long,
        required_unless_present = "tag",
        conflicts_with = "tag",
        value_name = "NAME"
    )]
    branch: Option<String>,
    /// A tag
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// The commit [default: the ref's tip when it is built]
    #[arg(long, value_name = "ID")]
    commit: Option<String>,
}

impl SubjectArgs {
    fn body(self) -> Value {
        let (kind, name) = match (self.branch, self.tag) {
            (Some(name), _) => ("branch", name),
            (None, name) => ("tag", name.unwrap_or_default()),
        };
        let mut body = json!({ "ref_type": kind, "ref_name": name });
        if let Some(commit) = self.commit {
            body["commit"] = commit.into();
        }
        body
    }
}

pub(super) async fn run(args: TriggerArgs, screen: &mut Screen) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    let client = &settings.client;
    match args.command {
        TriggerCommand::Create { file, project } => {
            let mut wanted = read(&file)?;
            if let (Some(project), Some(fields)) = (settings.project(&project), wanted.as_object_mut()) {
                fields.entry("project").or_insert_with(|| json!(project));
            }
            secret(&client.create_trigger(&wanted).await?, &settings, screen)?;
        }
        TriggerCommand::List { project } => list(&project, &settings, screen).await?,
        TriggerCommand::Show { id } => {
            let trigger = client.trigger(id).await.map_err(missing("trigger"))?;
            screen.result(&settings.pretty(&trigger.text))?;
        }
        TriggerCommand::Change { id, file } => {
            let changed = client
                .change_trigger(id, &read(&file)?)
                .await
                .map_err(missing("trigger"))?;
            screen.result(&settings.pretty(&changed.text))?;
        }
        TriggerCommand::Delete { ids } => {
            for id in ids {
                client.remove_trigger(id).await.map_err(missing("trigger"))?;
                screen.note(&format!("{id} is removed"));
            }
        }
        TriggerCommand::Rotate { id, overlap } => {
            let rotation = json!({ "overlap_seconds": overlap.as_secs() });
            let rotated = client.rotate_trigger_secret(id, &rotation).await;
            secret(&rotated.map_err(missing("trigger"))?, &settings, screen)?;
        }
        TriggerCommand::DryRun { id, subject } => {
            let rulings = client.dry_run(id, &subject.body()).await;
            let rulings = rulings.map_err(missing("trigger"))?;
            match settings.output {
                Output::Json => screen.result(&rulings.text)?,
                Output::Text => screen.result(&table(&rulings.value))?,
            }
        }
        TriggerCommand::Build { id, subject, rule } => {
            let mut wanted = subject.body();
            if let Some(rule) = rule {
                wanted["rule"] = rule.into();
            }
            let built = client.build_ref(id, &wanted).await;
            return deliveries::came_of(&built.map_err(missing("trigger"))?, &settings, screen);
        }
    }
    Ok(Ending::Done)
}

/// Turns a 404 into an error that names the kind of resource.
pub(super) fn missing(what: &'static str) -> impl Fn(ClientError) -> Failure {
    move |error| match error {
        ClientError::Problem(problem) if problem.status == 404 => {
            Failure::Input(format!("there is no such {what}"))
        }
        other => other.into(),
    }
}

/// Prints a trigger's address and its secret, which the service shows only once.
fn secret(made: &Json<Trigger>, settings: &Settings, screen: &mut Screen) -> Result<(), Failure> {
    if settings.output == Output::Json {
        return Ok(screen.result(&made.text)?);
    }
    let trigger = &made.value;
    screen.note(&format!("{} is ready; the secret is shown this once", trigger.id));
    let path = trigger.trigger_path.as_ref().unwrap_or(&trigger.hook_path);
    let address = settings
        .client
        .server()
        .join(path.trim_start_matches('/'))
        .map_or_else(|_| path.clone(), String::from);
    let secret = trigger.secret.as_ref().map(ExposeSecret::expose_secret);
    let secret = secret.unwrap_or_default();
    Ok(screen.result(&format!("address: {address}\nsecret:  {secret}\n"))?)
}

async fn list(project: &ProjectArgs, settings: &Settings, screen: &mut Screen) -> Result<(), Failure> {
    let project = settings.project(project);
    let mut table = Table::new(&["ID", "PROJECT", "PROVIDER", "REPOSITORY", "RULES", "STATE"]);
    let mut cursor = None;
    loop {
        let page = settings
            .client
            .triggers(project.as_ref(), cursor.as_deref())
            .await?;
        if settings.output == Output::Json {
            screen.result(&page.text)?;
        }
        for trigger in &page.value.triggers {
            table.add(vec![
                trigger.id.to_string().into(),
                (&trigger.project).into(),
                (&trigger.provider).into(),
                (&trigger.repository).into(),
                trigger.rules.len().to_string().into(),
                if trigger.enabled { "on" } else { "off" }.into(),
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

fn table(rulings: &Rulings) -> String {
    let mut table = Table::new(&["RULE", "MATCHES", "DESTINATIONS", "WHY NOT"]);
    for ruling in &rulings.rules {
        table.add(vec![
            (&ruling.rule).into(),
            if ruling.matches { "yes" } else { "no" }.into(),
            ruling.destinations.join(" ").into(),
            ruling.reason.as_deref().unwrap_or_default().into(),
        ]);
    }
    table.draw("")
}

fn read(path: &Path) -> Result<Value, Failure> {
    let shown = path.display();
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let text = text.map_err(|error| Failure::Local(format!("{shown} cannot be read: {error}")))?;
    serde_json::from_str(&text).map_err(|error| Failure::Input(format!("{shown} is no JSON: {error}")))
}

/// Parses a length of time; zero ends the old secret at once.
pub(super) fn overlap(text: &str) -> Result<Duration, String> {
    let hint = || "write a length of time such as 24h or 30m, or 0s".to_owned();
    let time: jiff::SignedDuration = text.parse().map_err(|_| hint())?;
    Duration::try_from(time).map_err(|_| hint())
}
