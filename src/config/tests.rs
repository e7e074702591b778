use clap::{CommandFactory, Parser};
use secrecy::ExposeSecret;

use super::{Cli, Command};

fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
    let given = ["slipway"].iter().chain(args).copied();
    Cli::try_parse_from(given)
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_bad_setting_is_named() {
    let url = "--database-url=postgres://localhost/x";
    for (bad, named) in [
        (vec!["--database-url=mysql://x"], "--database-url"),
        (vec![url, "--listen=nowhere"], "--listen"),
        (vec![url, "--pending-deadline=0s"], "--pending-deadline"),
        (vec![url, "--max-running=0"], "--max-running"),
        (vec![url, "--internal-url=ftp://x"], "--internal-url"),
        (vec![url, "--role=king"], "--role"),
        (vec![url, "--max-context-size=much"], "--max-context-size"),
    ] {
        let args: Vec<&str> = std::iter::once("serve").chain(bad).collect();
        let error = parse(&args).expect_err(named).to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[test]
fn the_database_password_is_never_shown() {
    let cli = parse(&["serve", "--database-url=postgres://u:hunter2@h/d"]).expect("the settings are valid");
    assert!(!format!("{cli:?}").contains("hunter2"));
    let Command::Serve(args) = cli.command else {
        panic!("serve was asked for")
    };
    assert!(args.database.database_url.expose_secret().contains("hunter2"));
    let error =
        parse(&["serve", "--database-url=postgres://u:hunter2@ h/d"]).expect_err("a space in the host");
    // clap repeats what was typed on the command line, but the environment is where secrets are set.
    assert!(error.to_string().contains("--database-url"));
}

#[test]
fn builds_reach_the_service_where_it_listens_unless_told_otherwise() {
    let args = [
        "serve",
        "--database-url=postgres://localhost/x",
        "--listen=127.0.0.1:9000",
    ];
    let Command::Serve(serve) = parse(&args).expect("the settings are valid").command else {
        panic!("serve was asked for")
    };
    assert_eq!(serve.http.internal_url().as_str(), "http://127.0.0.1:9000/");
}
