//! What only containers can show. Runs when NSYS_TEST_RUNTIME=docker (`make test-docker`), where the
//! other tests of stacks run in containers too.

use crate::support::{Place, in_containers, text};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn part(place: &Place, name: &str) -> Value {
    let ps = place.json(&["ps"]);
    let found = ps["parts"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("{name} is not there: {ps}"))
}

#[test]
fn the_stack_runs_in_containers() {
    if !in_containers() {
        return;
    }
    let place = Place::new();
    place.ok(&["up"]);
    let ps = place.json(&["ps"]);
    assert_eq!(ps["runtime"], "docker");
    assert_eq!(part(&place, "prepare")["state"], "done", "{ps}");

    // Again: the same containers.
    let before = part(&place, "postgres")["container"].clone();
    place.ok(&["up"]);
    assert_eq!(part(&place, "postgres")["container"], before);

    // The figures are those of the engine's own command.
    let stats = place.json(&["stats"]);
    let ours = stats["parts"].as_array().unwrap().iter().find(|one| one["name"] == "kafka").unwrap().clone();
    let id = part(&place, "kafka")["container"].as_str().unwrap().to_owned();
    let theirs = docker(&["stats", "--no-stream", "--format", "{{.MemUsage}}", &id]);
    let theirs: f64 =
        theirs.split("MiB").next().unwrap().trim().parse().unwrap_or_else(|_| panic!("{theirs}"));
    let ours = ours["memory_bytes"].as_f64().unwrap() / f64::from(1 << 20);
    assert!((ours - theirs).abs() / theirs < 0.1, "nsys says {ours} MiB, docker {theirs} MiB");

    // Three replicas get requests; none is lost while two of them go.
    let scaled = place.run(&["scale", "app=3"]);
    assert!(scaled.status.success(), "{}", text(&scaled));
    let mut load = place.command(&["loadtest", "incremental", "--rates", "40/s:25s"]).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(8));
    let scaled = place.run(&["scale", "app=1"]);
    assert!(scaled.status.success(), "{}", text(&scaled));
    load.wait().unwrap();
    let level = place.json(&["loadtest", "show"])["levels"][0].clone();
    assert_eq!(level["error_rate"].as_f64(), Some(0.0), "{level}");
    let found = &level["reconciliation"];
    assert!(found["stored"].as_u64() >= found["acknowledged"].as_u64(), "{found}");
    let spread = "count(count by (instance) (max_over_time(http_requests_total{role=\"app\"}[2m]) > 20))";
    let spread = place.json(&["metrics", "query", spread]);
    assert_eq!(spread[0]["points"][0][1].as_f64(), Some(3.0), "{spread}");
    crate::dashboards::every_panel_has_series(&place, true);

    // A killed container comes back, and says how it ended.
    let worker = part(&place, "worker-1");
    docker(&["kill", "--signal", "KILL", worker["container"].as_str().unwrap()]);
    docker(&["start", worker["container"].as_str().unwrap()]);
    let output = place.run(&["health", "--wait", "90s"]);
    assert!(output.status.success(), "{}", text(&output));

    // A change of the configuration rolls the replicas: other containers, the same number.
    let tuned = place.run(&["tune", "db", "--pool-size", "12", "--yes"]);
    assert!(tuned.status.success(), "{}", text(&tuned));
    assert_ne!(part_of_role(&place, "app")["container"], Value::Null);

    let output = place.run(&["down"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(
        docker(&["ps", "-aq", "--filter", &format!("label=com.docker.compose.project={}", place.name)]),
        ""
    );
}

fn part_of_role(place: &Place, role: &str) -> Value {
    let ps = place.json(&["ps"]);
    let parts = ps["parts"].as_array().unwrap().clone();
    let of_role: Vec<_> = parts
        .into_iter()
        .filter(|one| one["name"].as_str().unwrap().starts_with(&format!("{role}-")))
        .collect();
    assert_eq!(of_role.len(), 1, "{ps}");
    of_role[0].clone()
}

#[test]
fn a_failing_one_shot_is_named_with_its_exit_code_and_last_lines() {
    if !in_containers() {
        return;
    }
    let place = Place::new();
    let broken = place.dir.path().join("broken.yaml");
    std::fs::write(
        &broken,
        "services: { prepare: { entrypoint: [sh, -c, 'echo the schema is from the future; exit 7'] } }\n",
    )
    .unwrap();
    let files = format!("{},{}", Place::offline_file(), broken.display());
    let started = Instant::now();
    let output = place.command(&["up"]).env("NSYS_DOCKER__FILES", files).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("prepare ended with exit code 7"), "{said}");
    assert!(said.contains("the schema is from the future") && said.contains("nsys logs prepare"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(170), "it waited for the deadline instead of telling");
}

#[test]
fn an_engine_that_cannot_be_used_is_named_with_the_reason() {
    if !in_containers() {
        return;
    }
    let place = Place::new();
    let up = |host: &str| {
        let output = place.command(&["up", "--runtime", "docker"]).env("DOCKER_HOST", host).output().unwrap();
        (output.status.code(), text(&output))
    };
    let (code, said) = up("unix:///nowhere/docker.sock");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("there is no /nowhere/docker.sock") && said.contains("--runtime local"), "{said}");
    let (code, said) = up("ssh://elsewhere");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("is on another machine"), "{said}");

    // Without the right to talk to the socket, as an ordinary user.
    let socket = place.dir.path().join("engine.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    if rustix::process::geteuid().is_root() && Command::new("setpriv").arg("--version").output().is_ok() {
        std::fs::set_permissions(place.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        let state = place.dir.path().join("of-nobody");
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_nsys")])
            .args(["up", "--runtime", "docker", "--state-dir", state.to_str().unwrap()])
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .current_dir(place.dir.path())
            .output()
            .unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("this user may not talk to") && said.contains("usermod -aG docker"), "{said}");
    }
}
