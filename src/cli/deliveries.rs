//! Implements `slipway deliveries`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    ending::{Ending, Failure},
    screen::{Screen, Table, ago},
    settings::{Output, ServiceArgs, Settings},
    trigger::missing,
};
use crate::{
    client::{Delivery, Json},
    domain::{Clock, DeliveryId, TriggerId, delivery::Verdict},
};

/// Arguments of `slipway deliveries`.
#[derive(Debug, Args)]
pub struct DeliveriesArgs {
    /// Subcommand to run.
    #[command(subcommand)]
    command: DeliveriesCommand,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

/// Subcommands of `slipway deliveries`.
#[derive(Debug, Subcommand)]
enum DeliveriesCommand {
    /// List a trigger's deliveries, newest first.
    #[command(visible_alias = "ls")]
    List {
        /// The trigger
        trigger: TriggerId,
        /// Only deliveries with this verdict: built, duplicate, skipped or refused
        #[arg(long, value_name = "VERDICT")]
        verdict: Option<Verdict>,
    },
    /// Show a delivery with its headers and its body, as JSON.
    Show {
        /// The delivery
        id: DeliveryId,
    },
    /// Evaluate a delivery again, by the trigger's present rules.
    Replay {
        /// The delivery
        id: DeliveryId,
        /// Also build commits that the same rule has built, or is building
        #[arg(long)]
        again: bool,
    },
}

pub(super) async fn run(
    args: DeliveriesArgs,
    clock: &dyn Clock,
    screen: &mut Screen,
) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    match args.command {
        DeliveriesCommand::List { trigger, verdict } => {
            list(trigger, verdict, &settings, clock, screen).await?;
        }
        DeliveriesCommand::Show { id } => {
            let delivery = settings.client.delivery(id).await.map_err(missing("delivery"))?;
            screen.result(&settings.pretty(&delivery.text))?;
        }
        DeliveriesCommand::Replay { id, again } => {
            let replayed = settings.client.replay(id, &json!({ "again": again })).await;
            let replayed = replayed.map_err(missing("delivery"))?;
            return came_of(&replayed, &settings, screen);
        }
    }
    Ok(Ending::Done)
}

/// Prints the builds that a delivery or a manual build led to, one a line. Without any build it prints the
/// reason and ends with the exit code of a failed build.
pub(super) fn came_of(
    delivery: &Json<Delivery>,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Ending, Failure> {
    let value = &delivery.value;
    let builds: Vec<String> = value
        .consequences
        .iter()
        .filter_map(|one| Some(one.build_id?.to_string()))
        .collect();
    if settings.output == Output::Json {
        screen.result(&delivery.text)?;
    } else if !builds.is_empty() {
        screen.result(&format!("{}\n", builds.join("\n")))?;
    }
    for one in &value.consequences {
        if let (Some(rule), Some(reason)) = (&one.rule, &one.reason) {
            screen.note(&format!("{rule}: {reason}"));
        }
    }
    if builds.is_empty() {
        let reason = value.reason.clone().unwrap_or_else(|| value.verdict.clone());
        screen.error(&format!("nothing is built: {reason}"));
        return Ok(Ending::BuildFailed);
    }
    Ok(Ending::Done)
}

async fn list(
    trigger: TriggerId,
    verdict: Option<Verdict>,
    settings: &Settings,
    clock: &dyn Clock,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let mut table = Table::new(&["ID", "RECEIVED", "EVENT", "VERDICT", "BUILDS", "REASON"]);
    let mut cursor = None;
    loop {
        let verdict = verdict.map(Verdict::as_str);
        let page = settings
            .client
            .deliveries(trigger, verdict, cursor.as_deref())
            .await
            .map_err(missing("trigger"))?;
        if settings.output == Output::Json {
            screen.result(&page.text)?;
        }
        for delivery in &page.value.deliveries {
            let builds = delivery.consequences.iter().filter(|one| one.build_id.is_some());
            table.add(vec![
                delivery.id.to_string().into(),
                ago(delivery.received_at, clock.now()).into(),
                (&delivery.event).into(),
                (&delivery.verdict).into(),
                builds.count().to_string().into(),
                delivery.reason.as_deref().unwrap_or_default().into(),
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
