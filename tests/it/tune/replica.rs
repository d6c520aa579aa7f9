//! The read replica: reads move there, and come back when it lags or dies.

use super::*;
use nsys_contract::api::paths;
use serde_json::Value;

fn psql_replica(place: &Place, statement: &str) -> String {
    let output = psql(place)
        .args(["-p", &(5_433 + place.offset).to_string(), "-d", "notifications", "-c", statement])
        .output()
        .unwrap();
    assert!(output.status.success(), "{statement}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn get(place: &Place, path: &str, token: Option<&str>) -> Value {
    let url = format!("http://127.0.0.1:{}{path}", 3_000 + place.offset);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut request = crate::client::http().build().unwrap().get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status}: {body}");
        serde_json::from_str(&body).unwrap()
    })
}

fn standing(place: &Place) -> Value {
    get(place, paths::HEALTH_DATABASE, None)["database"]["replica"].clone()
}

pub(super) fn takes_reads_and_gives_them_back(place: &Place) {
    assert!(
        refused(place, &["tune", "db", "--read-replica", "local", "--yes"], 4).contains("no replica runs")
    );
    place.ok(&["up", "--with", "replica"]);
    wait(|| standing(place)["used"] == true, "reads do not go to the replica");
    let health = place.json(&["health"]);
    let part = health["parts"].as_array().unwrap().iter().find(|one| one["name"] == "replica").unwrap();
    assert_eq!(part["status"], "ok", "{health}");

    let token = place.run(&["token", "-q"]);
    let token = String::from_utf8_lossy(&token.stdout).trim().to_owned();
    let list = || get(place, &format!("{}?userId=nsys-send&limit=5", paths::NOTIFICATIONS), Some(&token));
    let read = || {
        let lists = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query LIKE 'SELECT id, user_id%FROM notifications WHERE%'";
        psql_replica(place, lists).parse::<u64>().unwrap()
    };
    place.ok(&["send", "--wait"]);
    let before = read();
    // The first ones may still find no connection and go to the primary.
    let read_there = || {
        list();
        read() >= before + 20
    };
    wait(read_there, "the lists are not read from the replica");

    // It stands still while the primary goes on: reads come back, and see what the replica does not.
    psql_replica(place, "SELECT pg_wal_replay_pause()");
    let sent = place.json(&["send", "--wait"]);
    wait(|| standing(place)["used"] == false, "reads stay on a replica that stands still");
    assert!(standing(place)["reason"].as_str().unwrap().contains("behind"), "{}", standing(place));
    assert!(list()["data"].as_array().unwrap().iter().any(|one| one["id"] == sent["id"]));
    psql_replica(place, "SELECT pg_wal_replay_resume()");
    wait(|| standing(place)["used"] == true, "reads do not go to a replica that caught up");

    // It dies: no read fails, and when it is back reads go there again.
    kill_9(place.pid("replica"));
    for _ in 0..20 {
        list();
        std::thread::sleep(Duration::from_millis(50));
    }
    wait(|| standing(place)["used"] == true, "reads do not go to a replica that came back");

    place.ok(&["tune", "db", "--read-replica", "none", "--yes"]);
    assert!(standing(place).is_null(), "{}", standing(place));
    place.ok(&["undo", "--yes"]);
    wait(|| standing(place)["used"] == true, "undo did not bring the reads back");
    place.ok(&["up", "--without", "replica"]);
    assert!(!place.json(&["ps"])["parts"].as_array().unwrap().iter().any(|one| one["name"] == "replica"));
    list();
}
