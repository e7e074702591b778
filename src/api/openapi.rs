//! The description of the REST API: what no single route can say.

use utoipa::{
    OpenApi as _, PartialSchema, ToSchema,
    openapi::{
        Components, Content, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        header::HeaderBuilder,
        path::{Operation, ParameterIn, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::problem::{Code, FieldError, ProblemBody};

/// What the routes are added to.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Slipway",
        description = "An HTTP build queue behind a private registry.\n\nErrors are problems by RFC 9457 with a stable \
            `code`. Every answer has an `X-Request-Id`, the client's own if it sent a harmless one. An answer with \
            status 429 or 503 has `Retry-After`. Unknown fields and query parameters are refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "builds", description = "Requests for images, and what came of them"),
        (name = "contexts", description = "Build contexts that callers upload"),
        (name = "endpoints", description = "Who is told of builds"),
        (name = "triggers", description = "What git hosts call, and what is built of it"),
        (name = "projects", description = "Who owns builds, and what is settled for them"),
        (name = "tokens", description = "What opens the API"),
        (name = "health", description = "For those who look after the service"),
    ),
    components(schemas(ProblemBody, FieldError, Code)),
)]
struct Base;

/// What the routes are added to.
pub(super) fn base() -> OpenApi {
    Base::openapi()
}

/// Problems that several operations answer: the status, the response's name, and what it means.
const SHARED: [(&str, &str, &str); 11] = [
    ("400", "MalformedBody", "The body is not valid JSON, or broke off"),
    (
        "401",
        "Unauthorized",
        "The token is missing, or opens nothing: mistyped, unknown, expired or revoked",
    ),
    (
        "403",
        "Forbidden",
        "The token does not allow this in its project: `detail` names the scope that it lacks",
    ),
    ("404", "NotFound", "There is no such thing"),
    ("408", "RequestTimeout", "The body came too slowly"),
    ("413", "BodyTooLarge", "The body is too large"),
    (
        "415",
        "UnsupportedMediaType",
        "The body is of a kind that is not taken here",
    ),
    (
        "422",
        "Invalid",
        "A field, parameter or header is not valid, or the request as a whole is not: see `code`",
    ),
    (
        "429",
        "RateLimited",
        "More requests come from here than one client may make",
    ),
    ("500", "Internal", "A fault of the service's own"),
    (
        "503",
        "Unavailable",
        "Overloaded, or a part of the service is away: nothing was done, try again",
    ),
];

/// The scheme of every operation that names no other.
const BEARER: &str = "bearer";

/// Adds what holds for many routes: the problems that they answer, and what opens them.
pub(super) fn complete(mut api: OpenApi) -> OpenApi {
    let components = api.components.get_or_insert_with(Components::new);
    for (status, name, meaning) in SHARED {
        let response = problem(meaning, ["429", "503"].contains(&status));
        components.responses.insert(name.to_owned(), response.into());
    }
    components.security_schemes.extend(schemes());
    for (path, item) in &mut api.paths.paths {
        if path.starts_with("/api/") || path.starts_with("/hooks/") {
            for operation in operations(item) {
                share(path, operation);
            }
        }
    }
    api
}

/// The operations of a path, by those methods that the service has.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .filter_map(Option::as_mut)
}

/// What opens an operation of the API.
fn schemes() -> [(String, RefOr<SecurityScheme>); 2] {
    let bearer = |format: &str, meaning: &str| {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format(format)
            .description(Some(meaning));
        SecurityScheme::Http(scheme.build()).into()
    };
    let token = "A token: `slw_` and 49 letters and digits. A service that only its own machine reaches may ask for none";
    let context = "What a build's pod was given for its one context, as long as the build runs";
    [
        (BEARER.to_owned(), bearer("slw_", token)),
        ("context".to_owned(), bearer("slipctx_", context)),
    ]
}

/// Refers to the problems that follow from what the operation takes.
fn share(path: &str, operation: &mut Operation) {
    let by_token = operation.security.is_none();
    if by_token {
        operation.security = Some(vec![SecurityRequirement::new(BEARER, [""; 0])]);
    }
    let body = operation.request_body.is_some();
    let parameters = operation.parameters.as_ref().is_some_and(|all| {
        all.iter().any(|one| match one {
            RefOr::T(one) => one.parameter_in != ParameterIn::Path && one.name != "If-None-Match",
            RefOr::Ref(_) => true,
        })
    });
    for (status, name, _) in SHARED {
        let answered = match status {
            "400" | "408" | "413" | "415" => body,
            "403" => by_token,
            "404" => path.contains('{'),
            "422" => body || parameters,
            _ => true,
        };
        if answered {
            operation
                .responses
                .responses
                .entry(status.to_owned())
                .or_insert_with(|| Ref::from_response_name(name).into());
        }
    }
}

fn problem(meaning: &str, later: bool) -> Response {
    let body = Content::new(Some(Ref::from_schema_name(ProblemBody::name())));
    let mut response = ResponseBuilder::new()
        .description(meaning)
        .content("application/problem+json", body);
    if later {
        let header = HeaderBuilder::new()
            .schema(Some(u32::schema()))
            .description(Some("Seconds after which another try makes sense"));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// The description as it is committed, for those who read it without running anything.
    const COMMITTED: &str = "openapi/openapi.json";

    #[test]
    fn the_committed_description_is_the_services_own() {
        let json = crate::api::openapi()
            .to_pretty_json()
            .expect("it can be written as JSON")
            + "\n";
        if std::env::var_os("SLIPWAY_UPDATE").is_some() {
            fs::create_dir_all(Path::new(COMMITTED).parent().expect("it is in a folder"))
                .expect("the folder can be made");
            fs::write(COMMITTED, &json).expect("the file can be written");
        }
        let committed = fs::read_to_string(COMMITTED).unwrap_or_default();
        assert!(
            committed == json,
            "{COMMITTED} is out of date: run `slipway openapi > {COMMITTED}`"
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let json = serde_json::to_value(crate::api::openapi()).expect("it can be written as JSON");
        let text = json.to_string();
        let references: BTreeSet<&str> = text
            .split("\"$ref\":\"#")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(
            references.contains("/components/schemas/Problem"),
            "{references:?}"
        );
        for reference in references {
            assert!(json.pointer(reference).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_of_the_api_names_its_errors() {
        let mut api = crate::api::openapi();
        for (path, item) in &mut api.paths.paths {
            for operation in operations(item).filter(|_| path.starts_with("/api/")) {
                let named = &operation.responses.responses;
                for status in ["401", "429", "500", "503"] {
                    assert!(named.contains_key(status), "{path}: {status}");
                }
            }
        }
    }
}
