//! Who was the limit: nobody answered, the service was slow, or the generator had no time.

use super::{newest, offer, results, shown};
use crate::support::{Place, text};
use crate::tune::{elsewhere, psql};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

/// Something in front of the API that lets sign-in and health through and hangs up on notifications.
fn hang_up(upstream: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut first = [0; 8_192];
                let count = client.read(&mut first)?;
                if String::from_utf8_lossy(&first[..count]).contains(" /notifications") {
                    return Ok(());
                }
                let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
                server.write_all(&first[..count])?;
                let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                std::io::copy(&mut client, &mut server).map(drop)
            });
        }
    });
    port
}

pub(super) fn a_run_whose_every_request_failed_says_so(place: &Place) {
    let front = hang_up(3_000 + place.offset);
    for engine in ["k6", "native"] {
        let mut command = elsewhere(
            place,
            &["loadtest", "smoke", "--engine", engine, "--rates", "20/s:4s", "--stabilise", "5s", "--yes"],
        );
        command.env("NSYS_EXTERNAL__API_URL", format!("http://127.0.0.1:{front}"));
        let prometheus = format!("http://127.0.0.1:{}", 9_090 + place.offset);
        let output = command.env("NSYS_EXTERNAL__PROMETHEUS_URL", prometheus).output().unwrap();
        assert_eq!(output.status.code(), Some(10), "{engine}: {}", text(&output));
        let run = shown(elsewhere(place, &["loadtest", "show", "-o", "json"]), &output);
        let level = &run["levels"][0];
        assert_eq!(
            (level["verdict"].as_str(), level["error_rate"].as_f64()),
            (Some("failed"), Some(1.0)),
            "{level}"
        );
        assert!(level["requests"].as_u64().unwrap() > 0 && level["success_ms"]["p95"].is_null(), "{level}");
        let checks = level["checks"].as_array().unwrap();
        let p95 = checks.iter().find(|one| one["metric"] == "p95_ms").unwrap();
        assert_eq!((&p95["value"], p95["status"].as_str()), (&serde_json::Value::Null, Some("unknown")));
        assert_eq!(level["generator"]["exit"], 0, "{engine} itself says that all is well");
        let causes: u64 =
            level["errors"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
        assert!(causes >= 60, "{level}");
        let dir = results(place).join(run["id"].as_str().unwrap());
        let summary = std::fs::read_to_string(dir.join("SUMMARY.md")).unwrap();
        assert!(summary.contains("failed") && summary.contains("100"), "{summary}");
    }
}

pub(super) fn a_slow_database_is_not_the_generator_s_fault(place: &Place) {
    // Most of every second nobody reads the table.
    let script = "BEGIN; LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(0.8); COMMIT;
                  SELECT pg_sleep(0.1);\n";
    let mut holder = psql(place).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    holder.stdin.take().unwrap().write_all(script.repeat(60).as_bytes()).unwrap();
    for engine in ["k6", "native"] {
        let (output, run) = offer(place, &["--engine", engine, "--rates", "30/s:8s"]);
        let level = &run["levels"][0];
        assert_eq!(output.status.code(), Some(10), "{engine}: {}", text(&output));
        assert_eq!(level["generator"]["limited"], false, "{engine}: {}", level["generator"]);
        assert!(level["latency_ms"]["p95"].as_f64().unwrap() > 100.0, "{engine}: {}", level["latency_ms"]);
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// One processor, and only what others leave of it: one that never rests, with a limit of its own.
pub(super) fn a_generator_without_processors_says_so(place: &Place) {
    let mut busy = std::process::Command::new("taskset");
    let mut busy =
        busy.args(["-c", "0", "timeout", "120", "sh", "-c", "while :; do :; done"]).spawn().unwrap();
    let like = place.command(&["loadtest", "stress", "-q", "--rates", "6000/s:6s", "--stabilise", "5s"]);
    let mut command = std::process::Command::new("nice");
    command.args(["-n", "10", "taskset", "-c", "0"]).arg(like.get_program()).args(like.get_args());
    command.current_dir(place.dir.path());
    command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    // `timeout` passes this on.
    kill_process(Pid::from_child(&busy), Signal::TERM).unwrap();
    busy.wait().unwrap();
    assert_eq!(output.status.code(), Some(11), "{}", text(&output));
    let level = &newest(place, &output)["levels"][0];
    assert_eq!(
        (level["verdict"].as_str(), &level["generator"]["cpus"]),
        (Some("generator-limited"), &1.0.into())
    );
    assert!(!level["generator"]["reasons"].as_array().unwrap().is_empty(), "{level}");
}
