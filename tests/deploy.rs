//! What deploy/kubernetes and docker-compose.yml set is what the binary reads, and what people are told to make first
//! is what they ask for.

use std::collections::{BTreeMap, BTreeSet};

use clap::{CommandFactory, Parser};
use serde::Deserialize;
use serde_json::Value;
use slipway::config::{Cli, Command, Role, ServeArgs};

const DEPLOYMENT: &str = include_str!("../deploy/kubernetes/slipway.yaml");
const COMPOSE: &str = include_str!("../docker-compose.yml");
/// What people read before they start one of the two.
const TEXTS: [(&str, &str); 8] = [
    ("README.md", include_str!("../README.md")),
    ("Dockerfile", include_str!("../Dockerfile")),
    (
        "deploy/kubernetes/README.md",
        include_str!("../deploy/kubernetes/README.md"),
    ),
    ("slipway.yaml", DEPLOYMENT),
    ("docker-compose.yml", COMPOSE),
    ("docs/projects.md", include_str!("../docs/projects.md")),
    ("docs/threat-model.md", include_str!("../docs/threat-model.md")),
    ("docs/notifications.md", include_str!("../docs/notifications.md")),
];
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// The variables of a command, each with its flag.
fn variables(command: &clap::Command) -> BTreeMap<String, String> {
    let arguments = command.get_arguments();
    let named =
        arguments.filter_map(|arg| Some((arg.get_env()?.to_str()?.to_owned(), arg.get_long()?.into())));
    named.collect()
}

/// The settings of `slipway serve`.
fn settings() -> BTreeMap<String, String> {
    let mut command = Cli::command();
    command.build();
    variables(command.find_subcommand("serve").expect("serve is a command"))
}

fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    documents
        .map(|one| Value::deserialize(one).expect("the manifest is YAML"))
        .collect()
}

/// The service's container, as the Deployment has it.
fn container() -> Value {
    let documents = documents(DEPLOYMENT);
    let deployment = documents.iter().find(|one| one["kind"] == "Deployment");
    deployment.expect("there is a Deployment")["spec"]["template"]["spec"]["containers"][0].clone()
}

/// The Deployment's variables, with a value for each; what is in a Secret has one that would do.
fn of_the_deployment() -> BTreeMap<String, String> {
    let container = container();
    let variables = container["env"].as_array().expect("it has variables");
    let value = |variable: &Value| match variable["valueFrom"]["secretKeyRef"]["name"].as_str() {
        None => variable["value"].as_str().expect("it has a value").to_owned(),
        Some(secret) => sample(secret).to_owned(),
    };
    let named = variables.iter().map(|variable| {
        (
            variable["name"].as_str().expect("it has a name").to_owned(),
            value(variable),
        )
    });
    named.collect()
}

fn sample(secret: &str) -> &'static str {
    match secret {
        "slipway-database" => "postgres://slipway:x@db.example.com/slipway",
        "slipway-secret-key" => KEY,
        other => panic!("the Secret {other} is new: which value would do?"),
    }
}

/// The compose file's variables, with what is to be had from its own environment filled in: a password and a key.
fn of_the_compose_file() -> BTreeMap<String, String> {
    let compose = documents(COMPOSE).remove(0);
    let variables = compose["services"]["slipway"]["environment"].clone();
    let variables = variables.as_object().expect("it has variables").clone();
    let value = |name: &str, value: &Value| match value.as_str() {
        None => {
            assert_eq!(name, "SLIPWAY_SECRET_KEY", "passed on as it is");
            KEY.to_owned()
        }
        Some(text) => match (text.find("${"), text.find(":-"), text.find('}')) {
            (Some(from), Some(default), Some(to)) => {
                [&text[..from], &text[default + 2..to], &text[to + 1..]].concat()
            }
            _ => text.to_owned(),
        },
    };
    let named = variables
        .iter()
        .map(|(name, one)| (name.clone(), value(name, one)));
    named.collect()
}

/// The service's settings, as it reads them.
fn served(variables: &BTreeMap<String, String>) -> ServeArgs {
    let settings = settings();
    let flags = variables.iter().map(|(name, value)| {
        let flag = settings.get(name);
        let flag = flag.unwrap_or_else(|| panic!("{name} is no setting of `slipway serve`"));
        format!("--{flag}={value}")
    });
    let line = ["slipway", "serve"].map(str::to_owned).into_iter().chain(flags);
    match Cli::try_parse_from(line)
        .unwrap_or_else(|error| panic!("{error}"))
        .command
    {
        Command::Serve(args) => *args,
        _ => panic!("it serves"),
    }
}

#[test]
fn the_settings_of_both_are_taken_together() {
    let mut compose = of_the_compose_file();
    // The image's own.
    compose.insert("SLIPWAY_LISTEN".into(), "0.0.0.0:8080".into());
    for variables in [of_the_deployment(), compose] {
        let args = served(&variables);
        args.http.check().unwrap();
        assert!(!args.http.no_auth, "clients need a token");
        assert!(matches!(args.role, Role::All), "one process does everything");
        assert!(args.secret.keyring().unwrap().is_some(), "triggers can be made");
        assert!(args.http.internal_url.is_some(), "builds reach it");
    }
    // As it is without the optional Secret.
    let mut without = of_the_deployment();
    without.remove("SLIPWAY_SECRET_KEY");
    assert!(served(&without).secret.keyring().unwrap().is_none());
}

#[test]
fn people_are_told_to_make_every_secret_that_is_asked_for() {
    let container = container();
    let mut asked: BTreeSet<(String, String)> = BTreeSet::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        let wish = &variable["valueFrom"]["secretKeyRef"];
        if let Some(name) = wish["name"].as_str() {
            asked.insert((name.to_owned(), wish["key"].as_str().unwrap().to_owned()));
            let optional = wish["optional"] == true;
            assert_eq!(
                optional,
                name == "slipway-secret-key",
                "{name}: it starts without"
            );
        }
    }
    assert_eq!(asked.len(), 2, "{asked:?}");
    for (place, text) in TEXTS.iter().filter(|(place, _)| place.ends_with("README.md")) {
        for (name, key) in &asked {
            let line = format!("kubectl -n slipway create secret generic {name} --from-literal={key}=");
            assert!(text.contains(&line), "{place}: {line}");
        }
        let registry = "kubectl -n slipway-builds create secret docker-registry registry ";
        assert!(text.contains(registry), "{place}");
        assert!(
            text.contains("exec deploy/slipway -- /slipway token create --name admin --scope admin"),
            "{place}: the first token"
        );
    }
    assert_eq!(of_the_deployment()["SLIPWAY_REGISTRY_SECRET"], "registry");
}

#[test]
fn the_first_token_is_made_in_the_same_container() {
    let line = [
        "slipway", "token", "create", "--name", "admin", "--scope", "admin",
    ];
    Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{error}"));
    // It works on the database there, by the container's own variable.
    let mut command = Cli::command();
    command.build();
    let token = command.find_subcommand("token").expect("token is a command");
    let create = token.find_subcommand("create").expect("a token can be made");
    let known: Vec<_> = variables(create)
        .into_keys()
        .chain(variables(token).into_keys())
        .collect();
    assert!(
        known.iter().any(|name| name == "SLIPWAY_DATABASE_URL"),
        "{known:?}"
    );
    for variables in [of_the_deployment(), of_the_compose_file()] {
        assert!(variables.contains_key("SLIPWAY_DATABASE_URL"));
    }
}

#[test]
fn every_variable_that_people_read_of_is_a_setting() {
    let mut command = Cli::command();
    command.build();
    let mut known = BTreeSet::new();
    let mut commands = vec![&command];
    while let Some(one) = commands.pop() {
        known.extend(variables(one).into_keys());
        commands.extend(one.get_subcommands());
    }
    let mut found = 0;
    for (place, text) in TEXTS {
        for piece in text.split("SLIPWAY_").skip(1) {
            let end = piece.find(|c: char| !c.is_ascii_uppercase() && c != '_');
            let name = format!("SLIPWAY_{}", &piece[..end.unwrap_or(piece.len())]);
            assert!(known.contains(&name), "{place}: {name} is no setting");
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}
