//! The stack that is measured: started by nsys, its parts found as nsys tells them.

use crate::peer::TOPIC;
use anyhow::{Context, Result, ensure};
use nsys_contract::topics::{NOTIFICATIONS, WORKER_GROUP};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Partitions of the topics that are measured.
pub(crate) const PARTITIONS: i32 = 3;
/// The account that no rate limit holds back, as `limits.exempt` names it.
const EXEMPT: &str = "loadtest@example.com";
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

/// A running stack. It is stopped and its data removed when this is dropped.
pub(crate) struct Stack {
    nsys: PathBuf,
    state: PathBuf,
    name: String,
    /// Where spans go. Every call is told, or it would restart the service without.
    otlp: String,
    pub(crate) api: SocketAddr,
    pub(crate) app: u32,
    pub(crate) brokers: String,
    pub(crate) database: String,
    pub(crate) token: String,
}

impl Stack {
    /// Starts everything but the workers; spans go to `otlp`.
    pub(crate) fn up(nsys: PathBuf, state: PathBuf, otlp: &str) -> Result<Self> {
        let name = std::env::var("NSYS_STACK__NAME").unwrap_or_else(|_| "bench".to_owned());
        let nothing = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut stack = Self {
            nsys,
            state,
            name,
            otlp: otlp.to_owned(),
            api: nothing,
            app: 0,
            brokers: String::new(),
            database: String::new(),
            token: String::new(),
        };
        stack.start()?;
        Ok(stack)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.nsys);
        command.args(args).arg("--state-dir").arg(&self.state).env("NSYS_STACK__NAME", &self.name);
        command.env("NSYS_STACK__RUNTIME", "local").env("NO_COLOR", "1");
        command.env("NSYS_TELEMETRY__OTLP_URL", &self.otlp);
        command
    }

    /// Runs nsys; what it says.
    pub(crate) fn nsys(&self, args: &[&str]) -> Result<String> {
        run(self.command(args))
    }

    fn find(&mut self) -> Result<()> {
        let secret = std::fs::read_to_string(self.state.join(&self.name).join("secrets/postgres"))?;
        let app = self.part("app-1")?;
        let port = |part: &Value| u16::try_from(part["port"].as_u64().unwrap_or(0)).unwrap_or(0);
        self.api.set_port(port(&app));
        self.app = pid(&app)?;
        self.brokers = format!("127.0.0.1:{}", port(&self.part("kafka")?));
        let database = port(&self.part("postgres")?);
        self.database = format!("postgres://nsys:{secret}@127.0.0.1:{database}/notifications");
        self.token = self.nsys(&["token", "--user", EXEMPT])?.trim().to_owned();
        Ok(())
    }

    fn part(&self, name: &str) -> Result<Value> {
        let ps: Value = serde_json::from_str(&self.nsys(&["ps", "-o", "json"])?)?;
        let parts = ps["parts"].as_array().context("no parts")?;
        parts
            .iter()
            .find(|part| part["name"] == name)
            .cloned()
            .with_context(|| format!("{name} does not run"))
    }

    /// Starts the worker; its process.
    pub(crate) fn start_worker(&self) -> Result<u32> {
        self.nsys(&["scale", "worker=1", "--yes"])?;
        pid(&self.part("worker-1")?)
    }

    /// Stops the worker.
    pub(crate) fn stop_worker(&self) -> Result<()> {
        self.nsys(&["scale", "worker=0", "--yes"]).map(|_| ())
    }

    fn start(&mut self) -> Result<()> {
        self.nsys(&["up", "--without", "worker", "--without", "prometheus"])?;
        self.find()
    }

    /// A connection to the database.
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.database).await?)
    }

    /// Makes the topic of the prototype.
    pub(crate) async fn make_topic(&self) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.kafka().create()?;
        let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1));
        admin.create_topics(&[topic], &AdminOptions::new()).await?;
        Ok(())
    }

    fn kafka(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Lets the workers begin at the end of the log. They must not run.
    pub(crate) fn skip_backlog(&self) -> Result<()> {
        let consumer: BaseConsumer = self.kafka().set("group.id", WORKER_GROUP).create()?;
        let mut ends = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            ends.add_partition_offset(NOTIFICATIONS, partition, Offset::End)?;
        }
        let ends = consumer.offsets_for_times(ends, BROKER_TIMEOUT)?;
        consumer.commit(&ends, CommitMode::Sync)?;
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Err(cause) = self.nsys(&["down", "--volumes", "--yes"]) {
            tracing::error!("{cause:#}");
        }
    }
}

fn pid(part: &Value) -> Result<u32> {
    part["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).context("no process")
}

fn run(mut command: Command) -> Result<String> {
    let output =
        command.output().with_context(|| format!("{} does not start", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}{said}", String::from_utf8_lossy(&output.stdout));
    Ok(String::from_utf8(output.stdout)?)
}

/// CPU time of a process so far.
pub(crate) fn cpu(process: u32) -> Result<Duration> {
    let text = of_process(process, "stat")?;
    // The name may hold spaces; what follows it does not.
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("no CPU time")?;
    // In hundredths of a second on Linux.
    Ok(Duration::from_millis((user + system) * 10))
}

/// Resident memory of a process, in MiB.
pub(crate) fn memory_mb(process: u32) -> Result<f64> {
    let text = of_process(process, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kb.context("no memory")? / 1_024.0)
}

fn of_process(process: u32, file: &str) -> Result<String> {
    std::fs::read_to_string(format!("/proc/{process}/{file}"))
        .with_context(|| format!("process {process} is gone"))
}
