//! What a run is measured on: host, disk, and the version of every part.

use super::{TIMEOUT, database};
use crate::clients::{http, machine};
use crate::stack::runtime::Runtime;
use crate::stack::{Stack, setup};
use std::collections::BTreeMap;

/// What a run is measured on.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The machine's name.
    pub host: Option<String>,
    /// The disk under the data.
    pub disk: Option<String>,
    /// What the parts say of their version; one that says nothing is absent.
    pub versions: BTreeMap<String, String>,
}

/// Asks all of them.
pub async fn surroundings(stack: &Stack) -> Surroundings {
    let (postgres, redis, prometheus, service) = tokio::join!(
        async { database::connect(stack).await.ok()?.version().await.ok() },
        redis(stack),
        prometheus(stack),
        service(stack),
    );
    // A broker does not tell its version; the local runtime knows which one it installed.
    let kafka = (stack.runtime == Runtime::Local).then(|| format!("Kafka {}", setup::KAFKA_VERSION));
    let all = [
        ("postgres", postgres.map(|version| format!("PostgreSQL {version}"))),
        ("redis", redis.map(|version| format!("Redis {version}"))),
        ("kafka", kafka),
        ("prometheus", prometheus.map(|version| format!("Prometheus {version}"))),
        ("service", service),
    ];
    Surroundings {
        host: machine::host(),
        disk: machine::disk_of(&stack.layout.path("data")),
        versions: all.into_iter().filter_map(|(part, version)| Some((part.to_owned(), version?))).collect(),
    }
}

async fn redis(stack: &Stack) -> Option<String> {
    let mut redis =
        crate::clients::redis::Redis::connect(&stack.endpoints.redis_url(), TIMEOUT).await.ok()?;
    redis.version().await.ok()
}

async fn prometheus(stack: &Stack) -> Option<String> {
    let url = format!("{}/api/v1/status/buildinfo", stack.endpoints.prometheus_url());
    let answer = http::get(&url, TIMEOUT).await.ok()?;
    answer.body["data"]["version"].as_str().map(str::to_owned)
}

async fn service(stack: &Stack) -> Option<String> {
    let answer = http::get(&format!("{}/health", stack.endpoints.api_url()), TIMEOUT).await.ok()?;
    answer.body["version"].as_str().map(str::to_owned)
}
