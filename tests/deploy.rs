//! What deploy/kubernetes sets is what the binary reads.

use clap::CommandFactory;
use serde::Deserialize;
use serde_json::Value;
use slipway::config::Cli;

#[test]
fn every_variable_of_the_deployment_is_a_setting() {
    let mut command = Cli::command();
    command.build();
    let serve = command.find_subcommand("serve").expect("serve is a command");
    let settings: Vec<&str> = serve
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str())
        .collect();
    let documents = serde_yaml_ng::Deserializer::from_str(include_str!("../deploy/kubernetes/slipway.yaml"));
    let mut checked = 0;
    for document in documents {
        let document = Value::deserialize(document).unwrap();
        let variables = &document["spec"]["template"]["spec"]["containers"][0]["env"];
        for variable in variables.as_array().into_iter().flatten() {
            let name = variable["name"].as_str().unwrap();
            assert!(
                settings.contains(&name),
                "{name} is no setting of `slipway serve`"
            );
            checked += 1;
        }
    }
    assert!(checked > 5);
}
