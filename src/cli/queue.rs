//! Implements `slipway queue`.

use clap::Args;

use super::{
    ending::{Ending, Failure},
    screen::{Screen, Table, seconds, span},
    settings::{Output, ProjectArgs, ServiceArgs},
};
use crate::client::Queue;

/// Arguments of `slipway queue`.
#[derive(Debug, Args)]
pub struct QueueArgs {
    /// Project option.
    #[command(flatten)]
    project: ProjectArgs,

    /// All projects, whatever project is configured
    #[arg(long, short = 'A', conflicts_with = "project")]
    all_projects: bool,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

pub(super) async fn run(args: QueueArgs, screen: &mut Screen) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    let project = settings.project(&args.project).filter(|_| !args.all_projects);
    let queue = settings.client.queue(project.as_ref()).await?;
    match settings.output {
        Output::Json => screen.result(&queue.text)?,
        Output::Text => screen.result(&page(&queue.value))?,
    }
    Ok(Ending::Done)
}

fn page(queue: &Queue) -> String {
    let slots = match queue.slots {
        Some(slots) => format!("{} of {slots} slots in use", queue.running),
        None => format!("{} slots in use; no dispatcher is running", queue.running),
    };
    let mut page = format!("{} queued, {slots}", queue.queued);
    if let Some(oldest) = queue.oldest_queued_seconds {
        page.push_str(&format!("; the oldest has waited {}", span(seconds(oldest))));
    }
    page.push('\n');
    if queue.projects.is_empty() {
        return page;
    }
    let mut table = Table::new(&["PROJECT", "QUEUED", "RUNNING", "SLOTS", "OLDEST"]);
    for project in &queue.projects {
        let oldest = project.oldest_queued_seconds.map(|oldest| span(seconds(oldest)));
        table.add(vec![
            (&project.project).into(),
            project.queued.to_string().into(),
            project.running.to_string().into(),
            project
                .slots
                .map(|slots| slots.to_string())
                .unwrap_or_default()
                .into(),
            oldest.unwrap_or_default().into(),
        ]);
    }
    page.push('\n');
    page.push_str(&table.draw(""));
    if queue.more_projects {
        page.push_str("and more projects\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_queue_is_a_sentence_and_a_table() {
        let queue = serde_json::from_value(json!({
            "queued": 999, "more_projects": true, "running": 3, "slots": 20, "oldest_queued_seconds": 75.5,
            "projects": [
                {"project": "demo", "queued": 999, "running": 2, "slots": 10, "weight": 1, "oldest_queued_seconds": 75},
                {"project": "team", "queued": 0, "running": 1, "slots": 10, "weight": 1, "oldest_queued_seconds": null},
            ],
        }));
        let page = page(&queue.expect("the service's answer"));
        insta::assert_snapshot!(anstream::adapter::strip_str(&page).to_string());
        let idle =
            json!({"queued": 0, "running": 0, "slots": 20, "oldest_queued_seconds": null, "projects": []});
        let idle: Queue = serde_json::from_value(idle).expect("the service's answer");
        assert_eq!(super::page(&idle), "0 queued, 0 of 20 slots in use\n");
    }
}
