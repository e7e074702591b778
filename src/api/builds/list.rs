//! Lists of builds, page by page.

use std::borrow::Cow;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderValue, header};
use jiff::Timestamp;
use uuid::Uuid;

use super::body::{BuildBody, Builds};
use crate::{
    api::{
        ApiState,
        caller::Caller,
        problem::Problem,
        query::{Query, encode},
    },
    domain::{BuildId, ImageRepository, ProjectName, Scope, State as BuildState, TriggerId, git::GitRef},
    store::BuildFilter,
};

/// What a request for a list says.
struct Wanted {
    filter: BuildFilter,
    before: Option<BuildId>,
    limit: u32,
}

/// List builds, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/builds",
    operation_id = "list_builds",
    tag = "builds",
    params(
        ("project" = Option<ProjectName>, Query, description = "Only builds of this project; the token's own, if it has one, when absent"),
        ("repository" = Option<ImageRepository>, Query,
            description = "Only builds whose first destination is in this repository (`host/path`)"),
        ("state" = Option<Vec<BuildState>>, Query, style = Form, explode = false,
            description = "Only builds in these states; may also be repeated"),
        ("ref" = Option<GitRef>, Query, description = "Only builds of this git ref, as the request wrote it"),
        ("trigger" = Option<TriggerId>, Query, description = "Only builds that came of this trigger"),
        ("created_from" = Option<String>, Query, format = DateTime,
            description = "Only builds accepted at or after this moment (RFC 3339)"),
        ("created_before" = Option<String>, Query, format = DateTime,
            description = "Only builds accepted before this moment (RFC 3339)"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Builds on a page; 20 when absent"),
        ("cursor" = Option<String>, Query, description = "What the page before gave as `next_cursor`"),
    ),
    responses(
        (status = 200, description = "A page of builds, without their attempts", body = Builds, headers(
            ("Link" = String, description = "The next page, with `rel=\"next\"`; absent on the last page"),
        )),
    )
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Response, Problem> {
    let mut wanted = Wanted::parse(query)?;
    wanted.filter.project = caller.project(Scope::BuildsRead, wanted.filter.project)?;
    // One more than shown tells whether there is another page.
    let mut builds = state
        .store
        .builds(&wanted.filter, wanted.before, wanted.limit + 1)
        .await?;
    let more = builds.len() > wanted.limit as usize;
    builds.truncate(wanted.limit as usize);
    let next_cursor = builds.last().filter(|_| more).map(|last| cursor(last.id));
    let link = next_cursor.as_deref().map(|next| wanted.link(next));
    let page = Json(Builds {
        builds: builds.into_iter().map(BuildBody::brief).collect(),
        next_cursor,
    });
    Ok(match link {
        None => page.into_response(),
        Some(link) => ([(header::LINK, link)], page).into_response(),
    })
}

impl Wanted {
    fn parse(mut query: Query) -> Result<Self, Problem> {
        let filter = BuildFilter {
            project: query.one::<ProjectName>("project")?,
            repository: query.one::<ImageRepository>("repository")?.map(String::from),
            states: states(&query.all("state"))?,
            git_ref: query.one::<GitRef>("ref")?.map(String::from),
            trigger: query.one::<TriggerId>("trigger")?,
            created_from: moment(&mut query, "created_from")?,
            created_before: moment(&mut query, "created_before")?,
        };
        let limit = query.number("limit", 1, 100, 20)?;
        let before = query.one::<Cursor>("cursor")?.map(|cursor| cursor.0);
        query.finish()?;
        Ok(Self {
            filter,
            before,
            limit: u32::try_from(limit).expect("the limit is at most 100"),
        })
    }

    /// The next page's address, as a `Link`.
    fn link(&self, cursor: &str) -> HeaderValue {
        let filter = &self.filter;
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        let states = (!states.is_empty()).then(|| states.join(","));
        let moment = |at: Option<Timestamp>| at.map(|at| Cow::Owned(at.to_string()));
        let query = encode([
            (
                "project",
                filter.project.as_ref().map(|name| name.as_str().into()),
            ),
            ("repository", filter.repository.as_deref().map(Cow::from)),
            ("state", states.map(Cow::from)),
            ("ref", filter.git_ref.as_deref().map(Cow::from)),
            ("trigger", filter.trigger.map(|id| id.to_string().into())),
            ("created_from", moment(filter.created_from)),
            ("created_before", moment(filter.created_before)),
            ("limit", Some(self.limit.to_string().into())),
            ("cursor", Some(cursor.into())),
        ]);
        HeaderValue::try_from(format!("</api/v1/builds?{query}>; rel=\"next\""))
            .expect("an encoded query makes a header's value")
    }
}

/// States, separated by commas or given one by one.
fn states(given: &[String]) -> Result<Vec<BuildState>, Problem> {
    let mut states = Vec::new();
    for text in given.iter().flat_map(|list| list.split(',')) {
        let state = text.parse().map_err(|error| Problem::field("state", error))?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    Ok(states)
}

/// A moment. Nothing was built before computers counted time, and the database knows no earlier ones either.
fn moment(query: &mut Query, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = query.one::<String>(name)? else {
        return Ok(None);
    };
    let at: Timestamp = text
        .parse()
        .map_err(|_| Problem::field(name, "must be a moment by RFC 3339, such as 2026-11-24T00:00:00Z"))?;
    Ok(Some(at.max(Timestamp::UNIX_EPOCH)))
}

/// Where a page ended. Clients must not look inside.
struct Cursor(BuildId);

fn cursor(last: BuildId) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(last.0.as_bytes())
}

impl std::str::FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let id = bytes.and_then(|bytes| Uuid::from_slice(&bytes).ok());
        id.map(|id| Self(BuildId(id)))
            .ok_or("is no cursor that a page has given")
    }
}
