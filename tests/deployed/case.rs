//! One case: what is asked for, and whether what comes of it is what must.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};
use slipway::domain::BuildId;

use crate::{
    deployed::expected::{Expected, Verdict},
    deployed::report::{Row, report},
    deployed::world::World,
};

/// More than any build here takes, its place in the queue included.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long what follows from a build's end may take: the Job's own condition, its removal, the end of its log.
const AFTERWARDS: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

/// What is asked for, and what must come of it.
pub struct Case {
    pub name: &'static str,
    pub request: Value,
    pub expected: Expected,
}

impl World {
    /// A build of a Dockerfile on the claim, pushed to a repository that is named after the case. `rest` is the rest of
    /// the request.
    pub fn case(&self, name: &'static str, dockerfile: &str, rest: Value, expected: Expected) -> Case {
        let source = self.folder(&slug(name), dockerfile);
        self.case_from(name, source, rest, expected)
    }

    /// The same from another source.
    pub fn case_from(&self, name: &'static str, source: Value, rest: Value, expected: Expected) -> Case {
        let mut request = json!({
            "project": "test", "source": source, "max_retries": 0, "timeout_seconds": 120,
            "destinations": [format!("{}/team/{}:1", self.registry.host, slug(name))],
        });
        let rest = rest.as_object().expect("fields of a request").clone();
        request.as_object_mut().expect("it is an object").extend(rest);
        Case {
            name,
            request,
            expected,
        }
    }

    /// All of them at once; fails after the last one if any of them is not as it must be.
    pub async fn run(&self, cases: Vec<Case>) {
        let mut ids = Vec::new();
        for case in &cases {
            ids.push(self.begin(case).await);
        }
        // One after the other: all of them asking for their builds would take from what the builds need.
        let mut rows = Vec::new();
        for (case, id) in cases.iter().zip(&ids) {
            rows.push(self.end(case, id).await);
        }
        self.report(&rows);
    }

    /// Asks for a case's build, again while the service is too busy: its id.
    pub async fn begin(&self, case: &Case) -> String {
        loop {
            let (status, answer) = self.service.post("api/v1/builds", &case.request).await;
            match status {
                503 => tokio::time::sleep(Duration::from_secs(1)).await,
                201 => return answer["id"].as_str().expect("a build has an id").to_owned(),
                _ => panic!("{}: {status} {answer}", case.name),
            }
        }
    }

    /// Notes rows, and fails if anything in them is wrong, with what the service said meanwhile.
    pub fn report(&self, rows: &[Row]) {
        if rows.iter().any(|row| !row.wrong.is_empty()) {
            println!("{}", self.service.log());
        }
        report(rows);
    }

    /// Waits for the end of a case's build, and looks at everything that is left of it.
    pub async fn end(&self, case: &Case, id: &str) -> Row {
        let build = self.service.ended(id, PATIENCE).await;
        let expected = &case.expected;
        let seen = expected.compared(Verdict::of(&build));
        let seconds = seconds(&build);
        let mut wrong = Vec::new();
        if seen != expected.verdict {
            wrong.push(format!(
                "is {seen}, must be {}; {}",
                expected.verdict, build["failure"]
            ));
        }
        if !expected.seconds.contains(&seconds) {
            wrong.push(format!("took {seconds} s, must be {:?}", expected.seconds));
        }
        let message = build["failure"]["message"].as_str().unwrap_or_default();
        for words in expected.says.iter().filter(|words| !message.contains(*words)) {
            wrong.push(format!("says {message:?}, must say {words:?}"));
        }
        for words in &expected.logs {
            wrong.extend(self.missing_in_log(id, words).await);
        }
        wrong.extend(self.pushed(&build).await);
        wrong.extend(self.left_in_the_cluster(id, expected, &seen).await);
        Row {
            case: case.name.to_owned(),
            expected: expected.verdict.to_string(),
            seen: seen.to_string(),
            seconds,
            wrong,
        }
    }

    async fn missing_in_log(&self, id: &str, words: &str) -> Option<String> {
        let found = within(AFTERWARDS, async || self.log(id).await.contains(words)).await;
        match found {
            true => None,
            false => Some(format!("the log has no {words:?}: {:?}", self.log(id).await)),
        }
    }

    /// A build that succeeded is in the registry, by the digest that it says, at all its places.
    async fn pushed(&self, build: &Value) -> Option<String> {
        let digest = build["digest"].as_str();
        if build["state"] != "succeeded" {
            return digest.map(|digest| format!("did not succeed and says the digest {digest}"));
        }
        for destination in build["spec"]["destinations"].as_array().into_iter().flatten() {
            let destination = destination.as_str().unwrap_or_default();
            let name = destination.split_once('/').map_or(destination, |(_, name)| name);
            let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
            let there = self.registry.digest(repository, tag).await;
            if digest.is_none() || there.as_deref() != digest {
                return Some(format!(
                    "says the digest {digest:?}, and {destination} has {there:?}"
                ));
            }
        }
        None
    }

    /// The Job must count failures as we do, or be gone; none but the expected pods may be there.
    async fn left_in_the_cluster(&self, id: &str, expected: &Expected, seen: &Verdict) -> Option<String> {
        let id: BuildId = id.parse().expect("a build's id");
        let pods = expected.pods.unwrap_or(seen.attempts());
        let settled = within(AFTERWARDS, async || {
            let job_is_right = match self.job(id).await {
                None => !expected.job,
                Some(job) => expected.job && failures(&job) == Some(seen.retries()),
            };
            job_is_right && self.place.pods(id).await.len() == pods
        });
        if settled.await {
            return None;
        }
        let (job, pods) = (self.job(id).await, self.place.pods(id).await);
        let status = job.and_then(|job| job.status);
        Some(format!("the Job does not agree: {status:?}, pods {pods:?}"))
    }

    pub async fn job(&self, id: BuildId) -> Option<Job> {
        let job = self.place.api::<Job>().get_opt(&id.job_name()).await;
        job.expect("the API server answers")
    }
}

/// The failures that a Job counted, once it has ended.
fn failures(job: &Job) -> Option<u64> {
    let status = job.status.as_ref()?;
    let ended = status
        .conditions
        .iter()
        .flatten()
        .any(|one| matches!(one.type_.as_str(), "Complete" | "Failed") && one.status == "True");
    ended.then(|| u64::try_from(status.failed.unwrap_or(0)).unwrap_or(0))
}

/// Whether something comes about in time.
pub async fn within(limit: Duration, mut there: impl AsyncFnMut() -> bool) -> bool {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if there().await {
            return true;
        }
        if tokio::time::Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn seconds(build: &Value) -> f64 {
    let at = |field: &str| -> Timestamp {
        let text = build[field].as_str().expect("it is there once a build has ended");
        text.parse().expect("it is a time")
    };
    at("finished_at").duration_since(at("created_at")).as_secs_f64()
}

/// A case's name as a part of a repository's name.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}
