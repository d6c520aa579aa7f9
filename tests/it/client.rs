//! Talks to a test stack's service, database and log the way other programs do.

use crate::support::Place;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

/// How long tests wait for what has to come; generous, because machines differ.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(150);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

/// What every HTTP client of a test begins with.
pub(crate) fn http() -> reqwest::ClientBuilder {
    nsys::clients::tls::install();
    reqwest::Client::builder()
}

/// A caller with the rights of an administrator.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    database: String,
    brokers: String,
}

impl Client {
    pub(crate) async fn of(place: &Place) -> Self {
        let mut client = Self {
            http: http().timeout(Duration::from_secs(70)).build().unwrap(),
            base: format!("http://127.0.0.1:{}", 3_000 + place.offset),
            token: String::new(),
            database: format!(
                "postgres://nsys:{}@127.0.0.1:{}/notifications",
                place.secret("postgres"),
                5_432 + place.offset
            ),
            brokers: format!("127.0.0.1:{}", 9_092 + place.offset),
        };
        let login = json!({"email": "loadtest@example.com", "password": place.secret("loadtest-user")});
        let answer = client.post("/auth/login", &login).await.expect("the service answers");
        client.token = answer.body["access_token"].as_str().expect("a token").to_owned();
        client
    }

    /// The same caller at another port of this machine.
    pub(crate) fn through(mut self, port: u16) -> Self {
        self.base = format!("http://127.0.0.1:{port}");
        self
    }

    /// The same caller with a key, which has no end, instead of a token.
    pub(crate) async fn with_a_key(mut self) -> Self {
        let wanted = json!({"name": "a caller for long", "role": "ADMIN"});
        let answer = self.post("/admin/api-keys", &wanted).await.expect("the service answers");
        self.token = answer.body["secret"].as_str().expect("a key").to_owned();
        self
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        self.send(self.http.post(format!("{}{path}", self.base)).json(body)).await
    }

    /// Replaces something; it has to work.
    pub(crate) async fn put(&self, path: &str, body: &Value) {
        let answer = self.send(self.http.put(format!("{}{path}", self.base)).json(body)).await;
        let answer = answer.expect("the service answers");
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        self.send(self.http.patch(format!("{}{path}", self.base)).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> reqwest::Result<Answer> {
        self.send(self.http.delete(format!("{}{path}", self.base))).await
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Result<Answer> {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    /// What a path answers, as text.
    pub(crate) async fn text(&self, path: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        request.send().await.expect("the service answers").text().await.expect("text")
    }

    /// The first event that a path sends after the one named.
    pub(crate) async fn first_event(&self, path: &str, after: &str) -> String {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let mut answer = request.header("last-event-id", after).send().await.expect("the service answers");
        let mut text = String::new();
        while !text.contains("\ndata: ") || !text.ends_with('\n') {
            let piece = answer.chunk().await.expect("the stream goes on").expect("an event comes");
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        text
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let answer = request.bearer_auth(&self.token).send().await?;
        let retry_after = answer.headers().get("retry-after");
        Ok(Answer {
            status: answer.status().as_u16(),
            retry_after: retry_after.and_then(|text| text.to_str().ok()).map(str::to_owned),
            body: serde_json::from_slice(&answer.bytes().await?).unwrap_or_default(),
        })
    }

    /// Sends one notification; the id of the answer.
    pub(crate) async fn notify(&self, body: Value) -> String {
        let answer = self.post("/notifications", &body).await.expect("the service answers");
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["id"].as_str().expect("an id").to_owned()
    }

    /// A connection to the database.
    pub(crate) async fn database(&self) -> PgConnection {
        PgConnection::connect(&self.database).await.expect("PostgreSQL answers")
    }

    /// A connection to the database, if there is one left.
    pub(crate) async fn try_database(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect(&self.database).await
    }

    /// Runs a statement that answers nothing.
    pub(crate) async fn execute(&self, sql: &str) {
        let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
        statement.execute(&mut self.database().await).await.unwrap_or_else(|cause| panic!("{sql}: {cause}"));
    }

    /// The first column of a statement's only row, as text.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        let sql = format!("SELECT ({sql})::text");
        let text: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&mut self.database().await)
            .await
            .expect("the statement is right");
        text.unwrap_or_default()
    }

    /// Waits until a statement answers `wanted`.
    pub(crate) async fn until(&self, sql: &str, wanted: &str) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let found = self.ask(sql).await;
            if found == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{sql}: {found:?} instead of {wanted:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a notification has a status.
    pub(crate) async fn until_status(&self, id: &str, wanted: &str) {
        self.until(&format!("SELECT status FROM notifications WHERE id = '{id}'"), wanted).await;
    }

    /// Puts bytes on a topic, behind the service's back.
    pub(crate) fn produce(&self, topic: &str, key: &str, value: &[u8], header: Option<(&str, &str)>) {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        let mut record = BaseRecord::to(topic).key(key).payload(value);
        if let Some((key, value)) = header {
            record = record.headers(OwnedHeaders::new().insert(Header { key, value: Some(value) }));
        }
        producer.send(record).map_err(|(cause, _)| cause).unwrap();
        producer.flush(Duration::from_secs(20)).unwrap();
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap()
    }

    /// Replaces what a topic says itself of its configuration.
    pub(crate) async fn configure_topic(&self, topic: &str, settings: &[(&str, &str)]) {
        let of = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let change = settings.iter().fold(of, |change, (key, value)| change.set(key, value));
        let answers = self.admin().alter_configs([&change], &AdminOptions::new()).await.unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }

    /// Deletes all but the last records of every partition of a topic.
    pub(crate) async fn delete_records(&self, topic: &str, left: i64) {
        let reader: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        let timeout = Duration::from_secs(20);
        let metadata = reader.fetch_metadata(Some(topic), timeout).unwrap();
        let mut before = TopicPartitionList::new();
        for one in metadata.topics()[0].partitions() {
            let (begin, end) = reader.fetch_watermarks(topic, one.id(), timeout).unwrap();
            let cut = Offset::Offset((end - left).max(begin));
            before.add_partition_offset(topic, one.id(), cut).unwrap();
        }
        self.admin().delete_records(&before, &AdminOptions::new()).await.unwrap();
    }
}
