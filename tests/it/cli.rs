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
fn the_version_tells_its_commit_or_why_it_knows_none() {
    let place = Place::new();
    let told = place.json(&["version"]);
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert!(told["commit"].is_null(), "{told}");
    assert_eq!(told["unknown"], "built for development");
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

/// What bash would offer after these words.
fn completed(place: &Place, words: &[&str]) -> Vec<String> {
    let script = place.ok(&["completions", "bash"]);
    let script = script.split_once('\n').unwrap().1;
    let typed = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let ask = format!(
        "{script}\nCOMP_TYPE=9 COMP_CWORD={} COMP_WORDS=({typed}); _clap_complete_nsys nsys '{}'\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.len() - 1,
        words[words.len() - 1]
    );
    let like = place.command(&[]);
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", &ask]).envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_nsys")).parent().unwrap();
    bash.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let output = bash.current_dir(place.dir.path()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_shell_offers_commands_and_the_names_of_this_stack() {
    let place = Place::new();
    place.configure("");
    let run = place.dir.path().join("load-tests/results/smoke-20260101_000000");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("results.json"), "{}").unwrap();
    let offered = completed(&place, &["nsys", "report", "smo"]);
    assert_eq!(offered, ["smoke-20260101_000000"]);
    assert_eq!(completed(&place, &["nsys", "restart", "work"]), ["worker"]);
    assert_eq!(completed(&place, &["nsys", "config", "show", "db.pool_s"]), ["db.pool_size"]);
    assert_eq!(completed(&place, &["nsys", "lag", "--group", ""]).len(), 1, "no broker answers here");
    assert!(completed(&place, &["nsys", "loa"]).contains(&"loadtest".to_owned()));
    let hidden = completed(&place, &["nsys", "superv"]);
    assert!(!hidden.iter().any(|one| one == "supervise"), "{hidden:?}");
}

#[test]
fn every_shell_gets_a_script_and_every_command_a_page() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(text(&place.run(&["completions", shell])).contains("NSYS_COMPLETE"), "{shell}");
    }
    assert!(!text(&place.run(&["man"])).contains("setup(1)"));
    assert!(place.ok(&["man", "loadtest", "incremental"]).contains("\\-\\-rates"));
    assert!(text(&place.run(&["config", "path"])).contains("no configuration file"));
}

#[test]
fn every_answer_and_every_error_is_json_where_that_was_asked_for() {
    let place = Place::new();
    place.configure("");
    assert_eq!(place.json(&["config", "path"])["file"], "config.toml");
    assert_eq!(place.json(&["config", "show", "--reveal", "db.pool_size"])["value"], 10);
    assert!(place.json(&["completions", "bash"])["script"].is_string());
    assert!(place.json(&["man", "up"])["page"].as_str().unwrap().contains(".TH"));
    for (args, kind, code) in [
        (&["upp"][..], "usage", 2),
        (&["scale", "kafka=3"], "usage", 2),
        (&["report", "none"], "usage", 2),
        (&["ps", "--read-onli"], "usage", 2),
        (&["lag"], "unreachable", 3),
        (&["down", "--read-only"], "refused", 4),
    ] {
        let output = place.run(&[args, &["-o", "json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", text(&output));
        let said: serde_json::Value = serde_json::from_slice(&output.stderr)
            .unwrap_or_else(|cause| panic!("{args:?}: {cause}: {}", text(&output)));
        let error = said["error"].as_object().unwrap();
        assert_eq!(error["kind"], kind, "{args:?}: {said}");
        assert_eq!(error["exit_code"], code, "{args:?}: {said}");
        for field in ["message", "hint", "cause"] {
            assert!(error.contains_key(field), "{args:?}: {said}");
        }
    }
}

#[test]
fn a_variable_that_sets_nothing_is_named() {
    let place = Place::new();
    let output = place.command(&["config", "check"]).env("NSYS_STAK__NAME", "x").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let output = place.command(&["config", "check"]).env("NSYS_FOO", "x").output().unwrap();
    assert!(text(&output).contains("the variable NSYS_FOO sets nothing"), "{}", text(&output));
}

#[test]
fn a_watch_whose_reader_has_enough_ends_also_where_nothing_runs() {
    let place = Place::new();
    let mut command = place.command(&["lag", "--watch"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    assert!(line.starts_with("error: "), "{line}");
    drop(reader);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(std::time::Instant::now() < deadline, "it goes on although nobody reads"),
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert!(status.success(), "{status}");
}
