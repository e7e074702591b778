//! Implements `slipway events`.

use clap::Args;
use owo_colors::OwoColorize;

use super::{
    BuildRef, describe,
    ending::{Ending, Failure},
    screen::{Screen, plain},
    settings::{Output, ServiceArgs},
};
use crate::client::{Event, EventFollower, EventItem};

/// Arguments of `slipway events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// The build
    #[arg(value_name = "ID")]
    id: BuildRef,

    /// Print new events until the build has ended
    #[arg(long, short)]
    follow: bool,

    /// Options of the service and the output.
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

pub(super) async fn run(args: EventsArgs, screen: &mut Screen) -> Result<Ending, Failure> {
    let settings = args.service.settings()?;
    let json = settings.output == Output::Json;
    if args.follow {
        let mut events = EventFollower::new(settings.client, args.id.0);
        while let Some(item) = events.next().await? {
            match item {
                EventItem::Event(_, text) if json => screen.result(&text)?,
                EventItem::Event(event, _) => screen.result(&line(&event))?,
                EventItem::Lost(why) => {
                    screen.note(&format!("the service is gone; trying again ({})", plain(&why)));
                }
                EventItem::Resumed => screen.note("the service is back"),
            }
        }
        return Ok(Ending::Done);
    }
    let events = settings.client.events(args.id.0).await?.value.events;
    for text in &events {
        if json {
            screen.result(text.get())?;
        } else {
            screen.result(&line(&Event::read(text.get())?))?;
        }
    }
    Ok(Ending::Done)
}

fn line(event: &Event) -> String {
    let state = event.state.to_string();
    let mut line = format!("{:.0}  {}", event.at, state.style(describe::style(event.state)));
    if let Some(cause) = &event.cause {
        line.push_str(&format!("  {}", plain(cause).replace('_', " ").dimmed()));
    }
    if let Some(reason) = &event.reason {
        line.push_str(&format!("  {}", plain(reason)));
    }
    if let Some(message) = &event.message {
        line.push_str(&format!("  {}", plain(message)));
    }
    line
}
