//! Named checks that the stack, and what is measured on it, can work.

use super::capacity::{ADVISED_DISK, ADVISED_FILES, ADVISED_MEMORY_MB, Capacity};
use super::{Runtime, Stack, health, log, setup};
use crate::clients::{http, postgres::Postgres, process, prometheus};
use crate::error::Result;
use nsys_contract::api::paths;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Longest wait for Prometheus to find a replica that was just started.
const DISCOVERY: Duration = Duration::from_secs(12);
/// Longest wait for the API.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// One check.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct DoctorCheck {
    /// Its id, stable.
    pub id: &'static str,
    /// What it looks at.
    pub name: &'static str,
    /// Whether all is well.
    pub ok: bool,
    /// What it saw.
    pub detail: String,
    /// The command that fixes it.
    pub remedy: &'static str,
}

/// What each check is for.
pub const EXPLANATIONS: [(&str, &str); 11] = [
    (
        "NSYS-D001",
        "The local stack runs PostgreSQL, Redis, Kafka on Java, Prometheus and k6 as programs of this machine. Each must be found.",
    ),
    (
        "NSYS-D002",
        "Every part listens on its default port plus stack.port_offset. A port that somebody else holds keeps its part from starting.",
    ),
    (
        "NSYS-D003",
        "The stack and a load test together need about 3 GiB; with less, the kernel ends processes and the figures mean nothing.",
    ),
    (
        "NSYS-D004",
        "Kafka and PostgreSQL stop when the disk is full. 2 GiB must be free where the state is kept.",
    ),
    (
        "NSYS-D005",
        "Each connection needs a file descriptor. With fewer than 4096, high levels fail in the generator, not in the service.",
    ),
    ("NSYS-D006", "Every part must be able to do its work; see nsys health."),
    (
        "NSYS-D007",
        "A load test is judged by Prometheus too. Every replica must be scraped, or its share is missing from every sum.",
    ),
    (
        "NSYS-D008",
        "Tokens and windows compare clocks. PostgreSQL's clock must agree with this machine's within a second.",
    ),
    (
        "NSYS-D009",
        "The statements of each level come from pg_stat_statements; without it a slow statement stays unnamed.",
    ),
    (
        "NSYS-D010",
        "What was accepted lies on the log until a worker has stored it. A topic that is bounded by bytes (retention.bytes) or compacted (cleanup.policy) loses it in a long outage, without a word: the service's topics are kept by time alone.",
    ),
    (
        "NSYS-D011",
        "Where registration is open (auth.open_registration), whoever reaches the API makes an account and sends by your providers. Only a local stack, which this machine alone reaches, is open unless that is configured.",
    ),
];

/// Runs every check.
pub async fn run(stack: &Stack) -> Vec<DoctorCheck> {
    let running = stack.records().await.unwrap_or_default();
    let mut checks = vec![tools(), ports(stack, !running.is_empty()), memory(), disk(stack), files()];
    if running.is_empty() {
        checks.push(DoctorCheck {
            id: "NSYS-D006",
            name: "stack",
            ok: false,
            detail: "does not run".into(),
            remedy: "nsys up",
        });
        return checks;
    }
    let parts = health::probe_parts(stack).await.unwrap_or_default();
    let bad: Vec<_> = parts
        .iter()
        .filter(|one| one.status == crate::domain::health::HealthStatus::Down)
        .map(|one| one.name.clone())
        .collect();
    checks.push(DoctorCheck {
        id: "NSYS-D006",
        name: "stack",
        ok: bad.is_empty() && !parts.is_empty(),
        detail: if bad.is_empty() {
            format!("{} parts ok", parts.len())
        } else {
            format!("down: {}", bad.join(", "))
        },
        remedy: "nsys health",
    });
    checks.push(targets(stack, running.iter().filter(|one| one.role().is_some()).count()).await);
    checks.push(clock(stack).await);
    checks.push(statements(stack).await);
    checks.push(retention(stack).await);
    checks.push(registration(stack).await);
    checks
}

fn tools() -> DoctorCheck {
    let missing: Vec<_> =
        setup::survey(&[]).iter().filter(|tool| tool.path.is_none()).map(|tool| tool.name).collect();
    let java = setup::need_java().err().filter(|error| !error.message.ends_with("missing"));
    let detail = if let Some(old) = java {
        old.message
    } else if missing.is_empty() {
        setup::versions().join(", ")
    } else {
        format!("missing: {}", missing.join(", "))
    };
    DoctorCheck { id: "NSYS-D001", name: "tools", ok: missing.is_empty(), detail, remedy: "nsys setup" }
}

fn ports(stack: &Stack, running: bool) -> DoctorCheck {
    let ports = &stack.endpoints;
    let all = [
        ports.api(),
        ports.postgres(),
        ports.redis(),
        ports.kafka(),
        ports.kafka_controller(),
        ports.prometheus(),
    ];
    let taken = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_err();
    let holder = |port: &u16| {
        format!("{port} by {}", process::holder_of_port(*port).unwrap_or_else(|| "somebody".into()))
    };
    let taken: Vec<_> =
        if running { Vec::new() } else { all.iter().filter(|port| taken(port)).map(holder).collect() };
    let detail = match (running, taken.is_empty()) {
        (true, _) => "held by the running stack".to_owned(),
        (false, true) => "free".to_owned(),
        (false, false) => format!("taken: {}", taken.join(", ")),
    };
    DoctorCheck {
        id: "NSYS-D002",
        name: "ports",
        ok: taken.is_empty(),
        detail,
        remedy: "NSYS_STACK__PORT_OFFSET=1000 nsys up",
    }
}

fn memory() -> DoctorCheck {
    let available = process::available_memory_mb();
    let detail = available.map_or_else(|| "unknown".to_owned(), |mib| format!("{mib:.0} MiB available"));
    let ok = available.is_some_and(|mib| mib > ADVISED_MEMORY_MB);
    DoctorCheck {
        id: "NSYS-D003",
        name: "memory",
        ok,
        detail,
        remedy: "close something, or lower stack.kafka_heap_mb",
    }
}

fn disk(stack: &Stack) -> DoctorCheck {
    let capacity = Capacity::measure(stack);
    let fullest = capacity.fullest();
    let detail = fullest.map_or_else(
        || "unknown".to_owned(),
        |(dir, bytes)| format!("{} MiB free in {}", bytes >> 20, dir.display()),
    );
    DoctorCheck {
        id: "NSYS-D004",
        name: "disk",
        ok: fullest.is_some_and(|(_, bytes)| bytes > ADVISED_DISK),
        detail,
        remedy: "free some disk, or choose another --state-dir",
    }
}

fn files() -> DoctorCheck {
    let limit = process::file_limit();
    let detail = limit.map_or_else(|| "unlimited".to_owned(), |limit| format!("{limit} open files"));
    DoctorCheck {
        id: "NSYS-D005",
        name: "open files",
        ok: limit.is_none_or(|limit| limit >= ADVISED_FILES),
        detail,
        remedy: "ulimit -n 20000",
    }
}

/// Prometheus looks for new replicas every five seconds: one that was just started is waited for.
async fn targets(stack: &Stack, replicas: usize) -> DoctorCheck {
    let until = Instant::now() + DISCOVERY;
    let up = loop {
        let up = scraped(stack).await;
        if up.is_none_or(|up| up == replicas) || Instant::now() >= until {
            break up;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let detail = up.map_or_else(
        || "Prometheus does not answer".to_owned(),
        |up| format!("{up} of {replicas} replicas are scraped"),
    );
    DoctorCheck { id: "NSYS-D007", name: "metrics", ok: up == Some(replicas), detail, remedy: "nsys up" }
}

/// How many replicas Prometheus reaches; absent when it does not answer.
async fn scraped(stack: &Stack) -> Option<usize> {
    // Others may be scraped too: the balancer is.
    let up = stack.scope().await.replicas("up").now();
    let base = stack.endpoints.prometheus_url();
    let found = prometheus::instant(&base, &up, None, Duration::from_secs(3)).await.ok()?;
    Some(found.iter().filter(|one| one.value() == Some(1.0)).count())
}

async fn database(stack: &Stack) -> Result<Postgres> {
    Postgres::connect(&stack.database_url()?, Duration::from_secs(3)).await
}

async fn statements(stack: &Stack) -> DoctorCheck {
    let seen = match database(stack).await {
        Ok(mut database) => {
            database.top_statements(1, 0.0).await.map(|_| "pg_stat_statements is on".to_owned())
        }
        Err(error) => Err(error),
    };
    let ok = seen.is_ok();
    let detail = seen.unwrap_or_else(|error| error.message);
    DoctorCheck { id: "NSYS-D009", name: "statements", ok, detail, remedy: "nsys restart postgres" }
}

async fn retention(stack: &Stack) -> DoctorCheck {
    let found = log::risks(stack).await;
    let ok = found.as_ref().is_ok_and(Vec::is_empty);
    let detail = match found {
        Ok(risks) if risks.is_empty() => "topics are kept by time alone".to_owned(),
        Ok(risks) => risks.join("; "),
        Err(error) => format!("not checked: {}", error.message),
    };
    DoctorCheck { id: "NSYS-D010", name: "log", ok, detail, remedy: log::remedy(stack) }
}

async fn registration(stack: &Stack) -> DoctorCheck {
    let answer = http::get(&format!("{}{}", stack.endpoints.api_url(), paths::HEALTH), ANSWER_TIMEOUT).await;
    let told =
        answer.map(|health| health.body["info"]["registration"].as_str().unwrap_or("not told").to_owned());
    let (ok, detail) = match told {
        Ok(told) if told == "closed" => (true, "closed".to_owned()),
        Ok(told) if told == "open" && stack.runtime == Runtime::Local => {
            (true, "open, on this machine alone".to_owned())
        }
        Ok(told) => (false, told),
        Err(error) => (false, format!("not checked: {}", error.message)),
    };
    let remedy = "NSYS_AUTH__OPEN_REGISTRATION=false nsys up";
    DoctorCheck { id: "NSYS-D011", name: "registration", ok, detail, remedy }
}

async fn clock(stack: &Stack) -> DoctorCheck {
    let time = match database(stack).await {
        Ok(mut database) => database.clock_s().await.ok(),
        Err(_) => None,
    };
    let difference = time.map(|theirs| (theirs - crate::clock::now_s()).abs());
    let detail = difference
        .map_or_else(|| "PostgreSQL does not answer".to_owned(), |seconds| format!("{seconds:.3} s apart"));
    DoctorCheck {
        id: "NSYS-D008",
        name: "clock",
        ok: difference.is_some_and(|seconds| seconds < 1.0),
        detail,
        remedy: "set the clock (NTP)",
    }
}
