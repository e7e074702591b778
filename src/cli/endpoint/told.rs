//! Lists notifications, and reports the result of a delivery attempt.

use std::time::Duration;

use clap::Args;

use crate::{
    cli::{
        ending::{Ending, Failure},
        screen::{Screen, Table, ago},
        settings::{Output, Settings},
        trigger::missing,
    },
    client::{Json, Notification, Try},
    domain::{Clock, EndpointId},
};

/// Interval at which a notification is polled.
const LOOK: Duration = Duration::from_millis(250);

/// Arguments of `slipway endpoint notifications`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The webhook endpoint
    id: EndpointId,

    /// The number of notifications to list, at most, 1 to 100
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=100), value_name = "N")]
    limit: u8,

    /// Continue an earlier list: the cursor that it printed at its end
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<i64>,
}

/// Option for the time to wait for a delivery attempt.
#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// The time to wait for the endpoint's answer, such as 30s; 0s does not wait
    #[arg(long, default_value = "30s", value_parser = wait, value_name = "DURATION")]
    wait: Duration,
}

pub(super) async fn list(
    args: &ListArgs,
    settings: &Settings,
    clock: &dyn Clock,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let page = settings
        .client
        .notifications(args.id, args.limit, args.cursor)
        .await
        .map_err(missing("endpoint"))?;
    if settings.output == Output::Json {
        return Ok(screen.result(&page.text)?);
    }
    let mut table = Table::new(&["NUMBER", "AT", "TYPE", "BUILD", "STATE", "TRIES", "LAST"]);
    for one in &page.value.notifications {
        let build = one.build_id.map(|id| id.to_string()).unwrap_or_default();
        table.add(vec![
            one.id.to_string().into(),
            ago(one.at, clock.now()).into(),
            (&one.kind).into(),
            build.into(),
            (&one.state).into(),
            one.tries.len().to_string().into(),
            one.tries.last().map(words).unwrap_or_default().into(),
        ]);
    }
    screen.result(&table.draw(""))?;
    if let Some(cursor) = page.value.next_cursor {
        screen.note(&format!("there are older ones: --cursor {cursor}"));
    }
    Ok(())
}

/// Waits for the next delivery attempt, and prints its result. An attempt that fails, or does not come in
/// time, is an error.
pub(super) async fn came_of(
    id: EndpointId,
    sent: Json<Notification>,
    waiting: WaitArgs,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Ending, Failure> {
    let (number, before) = (sent.value.id, sent.value.tries.len());
    let looking = async {
        loop {
            let now = settings.client.notification(id, number).await?;
            if now.value.tries.len() > before {
                return Ok::<_, Failure>(now);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let tried = tokio::time::timeout(waiting.wait, looking).await;
    let tried = tried.ok().transpose()?;
    if settings.output == Output::Json {
        screen.result(&tried.as_ref().unwrap_or(&sent).text)?;
    }
    let last = tried.as_ref().and_then(|now| now.value.tries.last());
    match last {
        None if waiting.wait.is_zero() => {
            screen.note(&format!("{number} will be sent"));
            Ok(Ending::Done)
        }
        None => {
            screen.error(&format!(
                "{number} is not tried yet: `slipway endpoint notifications {id}` shows what comes of it"
            ));
            Err(Failure::Said(1))
        }
        Some(last) if last.error.is_some() => {
            screen.error(&format!("{number} was not taken: {}", words(last)));
            Err(Failure::Said(1))
        }
        Some(last) => {
            screen.note(&format!("{number} was taken: {}", words(last)));
            Ok(Ending::Done)
        }
    }
}

/// Describes a delivery attempt.
fn words(one: &Try) -> String {
    let status = one.status.map(|status| status.to_string());
    let said = status.into_iter().chain(one.error.clone());
    format!(
        "{} in {} ms",
        said.collect::<Vec<_>>().join(", "),
        one.duration_ms
    )
}

fn wait(text: &str) -> Result<Duration, String> {
    let hint = || "write a length of time such as 30s, or 0s".to_owned();
    let time: jiff::SignedDuration = text.parse().map_err(|_| hint())?;
    Duration::try_from(time).map_err(|_| hint())
}
