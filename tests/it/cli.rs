//! Commands that need no stack: configuration, refusals, exit codes.

use crate::support::{Place, text};

#[test]
fn config_show_names_the_origin_of_each_value() {
    let place = Place::new();
    place.configure("[db]\npool_size = 20\n");
    let shown = place.json(&["config", "show"]);
    let settings = shown["settings"].as_array().unwrap();
    let origin = |key: &str| {
        settings.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("{key} is missing"))["origin"]
            .clone()
    };
    assert_eq!(origin("db.pool_size"), "config.toml:2");
    assert_eq!(origin("db.pool_timeout"), "default");
    assert_eq!(origin("stack.port_offset"), "env NSYS_STACK__PORT_OFFSET");
}

#[test]
fn a_wrong_key_is_a_usage_error_with_its_line() {
    let place = Place::new();
    place.configure("[kafka]\nlingr = \"1ms\"\n");
    let output = place.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("config.toml:2: there is no key kafka.lingr"), "{}", text(&output));
    assert!(text(&output).contains("did you mean kafka.linger?"));
}

#[test]
fn the_limit_of_a_shell_on_open_files_is_not_that_of_the_stack() {
    let place = Place::new();
    let like = place.command(&["doctor", "-o", "json"]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -Sn 1024 && exec \"$@\"", "sh"]).arg(like.get_program()).args(like.get_args());
    shell.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.current_dir(place.dir.path()).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = said["checks"].as_array().unwrap();
    let files = checks.iter().find(|one| one["id"] == "NSYS-D005").unwrap();
    assert_eq!(files["ok"], true, "{files}");
}

#[test]
fn secrets_are_shown_only_one_by_one() {
    let place = Place::new();
    let command =
        |args: &[&str]| place.command(args).env("NSYS_DB__URL", "postgres://u:hunter2@h/d").output().unwrap();
    assert!(!text(&command(&["config", "show"])).contains("hunter2"));
    assert!(text(&command(&["config", "show", "--reveal", "db.url"])).contains("hunter2"));
}

#[test]
fn read_only_refuses_changes() {
    let place = Place::new();
    for change in
        [vec!["up"], vec!["down"], vec!["restart"], vec!["scale", "app=2"], vec!["loadtest", "smoke"]]
    {
        let output = place.run(&[&change[..], &["--read-only"]].concat());
        assert_eq!(output.status.code(), Some(4), "{change:?}: {}", text(&output));
    }
}

#[test]
fn health_without_a_stack_is_unreachable_and_says_what_to_do() {
    let place = Place::new();
    let output = place.run(&["health"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("nsys up"));
}

#[test]
fn a_level_that_cannot_be_read_is_a_usage_error() {
    let place = Place::new();
    let output = place.run(&["loadtest", "plan", "incremental", "--rates", "1000:5m"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("1000/s:5m"));
}

#[test]
fn completions_and_manual_are_printed() {
    let place = Place::new();
    assert!(text(&place.run(&["completions", "bash"])).contains("_nsys"));
    assert!(text(&place.run(&["man"])).contains(".TH nsys"));
}

#[test]
fn an_error_is_an_object_where_json_was_asked_for() {
    let place = Place::new();
    let output = place.run(&["restart", "-o", "json"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(told["error"]["kind"], "unreachable");
    assert_eq!(told["error"]["hint"], "nsys up");
}

#[test]
fn a_directory_in_place_of_the_configuration_is_said_and_skipped() {
    let place = Place::new();
    std::fs::create_dir(place.dir.path().join("config.toml")).unwrap();
    let output = place.run(&["config", "check"]);
    assert!(output.status.success() && text(&output).contains("it is a directory"), "{}", text(&output));
}

#[test]
fn a_log_that_is_not_there_names_the_near_one() {
    let place = Place::new();
    let stack = place.dir.path().join("state").join(&place.name);
    std::fs::create_dir_all(stack.join("logs")).unwrap();
    std::fs::write(stack.join("logs/kafka.log"), "a line\n").unwrap();
    let output = place.run(&["logs", "kafak"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("did you mean kafka?"), "{}", text(&output));
}

#[test]
fn hidden_commands_are_not_completed() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&place.run(&["completions", shell]));
        assert!(script.contains("loadtest") && !script.contains("supervise"), "{shell}");
    }
    assert!(!text(&place.run(&["man"])).contains("setup(1)"));
    assert!(text(&place.run(&["config", "path"])).contains("no configuration file"));
}
