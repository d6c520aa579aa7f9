//! What nsys asks of a cluster, asked of a real API server. Runs when NSYS_TEST_CLUSTER tells its address
//! (`make test-kubernetes`). No pods run there: what controllers would do is done here.

// A test that is left out says so.
#![allow(clippy::print_stderr)]

use crate::client::TIMEOUT;
use crate::support::{Place, text};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

const OURS: &str = "/namespaces/notifications";

/// The API server, without kubectl.
struct Server {
    address: String,
    http: reqwest::Client,
}

impl Server {
    fn given() -> Option<Arc<Self>> {
        let Ok(address) = std::env::var("NSYS_TEST_CLUSTER") else {
            eprintln!("left out: no API server is given (make test-kubernetes)");
            return None;
        };
        let http = crate::client::http().tls_danger_accept_invalid_certs(true).build().unwrap();
        Some(Arc::new(Self { address, http }))
    }

    async fn ask(&self, method: Method, path: &str, kind: &str, body: String) -> (StatusCode, Value) {
        let request = self.http.request(method, format!("{}{path}", self.address)).bearer_auth("sesame");
        let answer = request.header("content-type", kind).body(body).send().await.unwrap();
        let status = answer.status();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let (status, found) = self.ask(Method::GET, path, "application/json", String::new()).await;
        status.is_success().then_some(found)
    }

    /// Merges into an object's status.
    async fn tell(&self, path: &str, status: &Value) {
        let body = json!({"status": status}).to_string();
        let (code, said) =
            self.ask(Method::PATCH, &format!("{path}/status"), "application/merge-patch+json", body).await;
        assert!(code.is_success(), "{path}: {said}");
    }

    /// What controllers and nodes would do, once: the job done, deployments rolled out, their pods ready.
    async fn control(&self) {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let job = format!("/apis/batch/v1{OURS}/jobs/prepare");
        if self.get(&job).await.is_some_and(|job| job["status"]["succeeded"].is_null()) {
            let holds = |what: &str| json!({"type": what, "status": "True", "lastTransitionTime": now});
            let conditions = [holds("SuccessCriteriaMet"), holds("Complete")];
            let ended =
                json!({"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions});
            self.tell(&job, &ended).await;
        }
        for role in ["app", "worker"] {
            let path = format!("/apis/apps/v1{OURS}/deployments/{role}");
            let Some(deployment) = self.get(&path).await else { continue };
            let wanted = deployment["spec"]["replicas"].as_u64().unwrap();
            for number in 0..wanted {
                self.run_pod(&deployment, role, number, &now).await;
            }
            let rolled = json!({"observedGeneration": deployment["metadata"]["generation"], "replicas": wanted,
                "updatedReplicas": wanted, "readyReplicas": wanted, "availableReplicas": wanted});
            self.tell(&path, &rolled).await;
        }
    }

    async fn run_pod(&self, deployment: &Value, role: &str, number: u64, now: &str) {
        let pods = format!("/api/v1{OURS}/pods");
        let mut pod = deployment["spec"]["template"].clone();
        let name = format!("{role}-{number}");
        pod["metadata"]["name"] = json!(name);
        let (code, said) = self.ask(Method::POST, &pods, "application/json", pod.to_string()).await;
        if code == StatusCode::CONFLICT {
            return;
        }
        assert!(code.is_success(), "{name}: {said}");
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": now});
        let runs = json!({"phase": "Running", "podIP": "10.0.0.9", "startTime": now, "conditions": [ready]});
        self.tell(&format!("{pods}/{name}"), &runs).await;
    }
}

fn nsys(place: &Place, args: &[&str]) -> Command {
    let mut command = place.command(args);
    command.env("NSYS_STACK__RUNTIME", "kubernetes");
    for (key, url) in [
        ("DB__URL", "postgres://service:secret@db.test/notifications"),
        ("CACHE__URL", "redis://cache.test"),
        ("KAFKA__BROKERS", "log.test:9092"),
    ] {
        command.env(format!("NSYS_{key}"), url);
    }
    command
}

async fn run(place: &Arc<Place>, args: &'static [&'static str]) -> Output {
    let place = Arc::clone(place);
    tokio::task::spawn_blocking(move || nsys(&place, args).output().unwrap()).await.unwrap()
}

async fn ok(place: &Arc<Place>, args: &'static [&'static str]) -> String {
    let output = run(place, args).await;
    assert!(output.status.success(), "{args:?}: {}", text(&output));
    text(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_applied_watched_scaled_and_taken_away() {
    let Some(server) = Server::given() else { return };
    let place = Arc::new(Place::new());

    // Nothing there yet; a dry run says so and makes nothing.
    let said = ok(&place, &["up", "--migrate", "--dry-run"]).await;
    assert!(said.contains("namespace/notifications created (server dry run)"), "{said}");
    assert!(said.contains("deployment/app would be created with the namespace"), "{said}");
    assert!(server.get(&format!("/api/v1{OURS}")).await.is_none());

    // Without controllers nothing comes up: it says what it waits for.
    let output = run(&place, &["up", "--migrate", "--yes", "--timeout", "3s"]).await;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("prepare is not done: its pod was never started"), "{said}");

    // With them it does, and again changes nothing.
    let controllers = {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            loop {
                server.control().await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    };
    ok(&place, &["up", "--migrate", "--yes", "--timeout", "60s"]).await;
    let said = ok(&place, &["up", "--migrate", "--dry-run"]).await;
    let lines: Vec<_> = said.lines().filter(|line| line.contains("(server dry run)")).collect();
    assert!(lines.len() >= 14 && lines.iter().all(|line| line.contains(" unchanged ")), "{said}");

    // The objects are those that were meant.
    let hidden = server.get(&format!("/api/v1{OURS}/configmaps/notification-settings")).await.unwrap();
    assert!(!hidden.to_string().contains("secret@db.test"), "an address is no secret any more: {hidden}");
    let key = format!("/api/v1{OURS}/secrets/notification-signing-key");
    let first = server.get(&key).await.unwrap()["data"].clone();

    let ps: Value = serde_json::from_slice(&run(&place, &["ps", "-o", "json"]).await.stdout).unwrap();
    let parts = ps["parts"].as_array().unwrap();
    let part = |name: &str| parts.iter().find(|one| one["name"] == name).cloned().unwrap_or_default();
    assert_eq!((&part("app-1")["state"], &part("app-1")["container"]), (&json!("running"), &json!("app-0")));
    assert_eq!(part("worker-1")["state"], "running", "{ps}");

    ok(&place, &["scale", "worker=3"]).await;
    let worker = server.get(&format!("/apis/apps/v1{OURS}/deployments/worker")).await.unwrap();
    assert_eq!(worker["spec"]["replicas"], 3);
    ok(&place, &["scale", "app=4"]).await;
    let scaler = format!("/apis/autoscaling/v2{OURS}/horizontalpodautoscalers/app");
    assert_eq!(server.get(&scaler).await.unwrap()["spec"]["minReplicas"], 4);

    // A restart replaces the pods of a role, one after the other.
    ok(&place, &["restart", "worker-1"]).await;
    let worker = server.get(&format!("/apis/apps/v1{OURS}/deployments/worker")).await.unwrap();
    let mark = &worker["spec"]["template"]["metadata"]["annotations"];
    assert!(mark["kube.kubernetes.io/restartedAt"].is_string(), "{mark}");

    // Somebody else's field is not taken.
    let path = format!("/apis/apps/v1{OURS}/deployments/worker?fieldManager=other&force=true");
    let theirs = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker"},
        "spec": {"revisionHistoryLimit": 9}});
    let (code, said) =
        server.ask(Method::PATCH, &path, "application/apply-patch+yaml", theirs.to_string()).await;
    assert!(code.is_success(), "{said}");
    let output = run(&place, &["up", "--migrate", "--yes", "--timeout", "10s"]).await;
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(text(&output).contains("revisionHistoryLimit"), "{}", text(&output));

    controllers.abort();
    ok(&place, &["down", "--yes"]).await;
    assert!(server.get(&format!("/apis/apps/v1{OURS}/deployments/app")).await.is_none());
    assert_eq!(server.get(&key).await.unwrap()["data"], first, "the key stays, and is the first one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_run_is_what_the_operator_takes_and_goes_with_its_level() {
    let Some(server) = Server::given() else { return };
    let place = Place::new();
    let (plan, summary) = (place.dir.path().join("plan.json"), place.dir.path().join("summary.json"));
    let told = json!({"place": {"context": "", "namespace": "load", "image": "grafana/k6:1.1.0"},
        "name": "nsys-smoke-l1", "parallelism": 2, "seconds": 5, "summaries": [summary, summary]});
    std::fs::write(&plan, json!({"token": "sesame", "windows": [], "cluster": told}).to_string()).unwrap();

    let said = text(&place.run(&["generate", "--plan", plan.to_str().unwrap()]));
    assert!(said.contains("the cluster knows no TestRun of k6.io/v1alpha1"), "{said}");
    assert!(said.contains("is the k6 operator installed?"), "{said}");

    let definition = std::fs::read_to_string(std::env::var("NSYS_TEST_TESTRUN").unwrap()).unwrap();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/testruns.k6.io?fieldManager=test";
    let (code, said) = server.ask(Method::PATCH, path, "application/apply-patch+yaml", definition).await;
    assert!(code.is_success(), "{said}");
    let namespace = json!({"metadata": {"name": "load"}}).to_string();
    server.ask(Method::POST, "/api/v1/namespaces", "application/json", namespace).await;
    while server.get("/apis/k6.io/v1alpha1/namespaces/load/testruns").await.is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut child = place.command(&["generate", "--plan", plan.to_str().unwrap()]).spawn().unwrap();

    let path = "/apis/k6.io/v1alpha1/namespaces/load/testruns/nsys-smoke-l1";
    let deadline = Instant::now() + TIMEOUT;
    let run = loop {
        if let Some(run) = server.get(path).await {
            break run;
        }
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "no TestRun came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    // What the definition does not know the server drops in silence: nothing may be missing.
    assert_eq!(run["spec"]["parallelism"], 2);
    assert_eq!(run["spec"]["arguments"], "--no-color");
    assert_eq!(run["spec"]["quiet"], "true");
    assert_eq!(run["spec"]["script"]["configMap"]["file"], "level.js");
    assert_eq!(run["spec"]["runner"]["image"], "grafana/k6:1.1.0");
    assert_eq!(run["spec"]["runner"]["env"][0], json!({"name": "NSYS_PLAN", "value": "/nsys/plan.json"}));
    assert_eq!(run["spec"]["runner"]["volumes"][0]["secret"]["secretName"], "nsys-smoke-l1");
    assert_eq!(run["spec"]["runner"]["volumeMounts"][0]["mountPath"], "/nsys");
    assert!(server.get("/api/v1/namespaces/load/configmaps/nsys-smoke-l1").await.is_some());

    // The operator gives up: nsys says so, and leaves nothing behind.
    server.tell(path, &json!({"stage": "error"})).await;
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert!(!ended.success());
    for path in [path, "/api/v1/namespaces/load/secrets/nsys-smoke-l1"] {
        let deadline = Instant::now() + TIMEOUT;
        while server.get(path).await.is_some() {
            assert!(Instant::now() < deadline, "{path} was left");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
