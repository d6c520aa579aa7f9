//! A profile as it is written: TOML, read and checked. Every mistake names its line.

use super::{
    FlowStart, Profile, ProfileAuth, ProfileError, ProfileFlow, ProfileLedger, ProfileRequest, SecretSource,
    StatusSet, Template, nearest_of,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// Methods of requests.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// Most requests of a profile, and most bytes of one template.
const MOST_REQUESTS: usize = 200;
const MOST_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: Spanned<String>,
    url: Spanned<String>,
    ready: Option<Spanned<String>>,
    #[serde(default)]
    auth: AuthDocument,
    #[serde(default)]
    request: Vec<RequestDocument>,
    #[serde(default)]
    flow: Vec<FlowDocument>,
    ledger: Option<LedgerDocument>,
    postgres: Option<AddressDocument>,
    kafka: Option<BrokersDocument>,
    redis: Option<AddressDocument>,
    prometheus: Option<AddressDocument>,
}

#[derive(Deserialize)]
struct ProfileSection {
    profile: Document,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthDocument {
    kind: Option<Spanned<String>>,
    header: Option<Spanned<String>>,
    env: Option<String>,
    file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddressDocument {
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BrokersDocument {
    brokers: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlowDocument {
    topic: Spanned<String>,
    group: String,
    begins: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerDocument {
    stored: Spanned<String>,
    #[serde(rename = "final")]
    finished: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestDocument {
    name: Option<String>,
    #[serde(default = "one")]
    weight: Spanned<Number>,
    method: Option<Spanned<String>>,
    path: Spanned<String>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
    body: Option<Spanned<String>>,
    success: Option<Spanned<Statuses>>,
    acknowledged: Option<Spanned<Statuses>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(i64),
    Fraction(f64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Statuses {
    One(Status),
    Several(Vec<Status>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Number(u16),
    Word(String),
}

fn one() -> Spanned<Number> {
    Spanned::new(0..0, Number::Whole(1))
}

/// Whether a configuration file describes a profile itself.
pub(super) fn has_section(text: &str) -> bool {
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("profile"))
}

pub(super) fn parse(text: &str, file: &str, section: bool) -> Result<Profile, ProfileError> {
    let source = ProfileText { text, file };
    let document = if section {
        toml::from_str::<ProfileSection>(text).map(|whole| whole.profile)
    } else {
        toml::from_str::<Document>(text)
    };
    source.profile(document.map_err(|cause| source.not_read(&cause))?)
}

/// The text that is read, for the line of a mistake.
struct ProfileText<'a> {
    text: &'a str,
    file: &'a str,
}

impl ProfileText<'_> {
    fn at(&self, offset: usize, what: impl std::fmt::Display) -> ProfileError {
        let line = self.text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
        ProfileError { message: format!("{}:{line}: {what}", self.file), hint: None }
    }

    /// What the parser says, in our words.
    fn not_read(&self, cause: &toml::de::Error) -> ProfileError {
        let said = cause.message().trim();
        let words: Vec<_> = said.split('`').skip(1).step_by(2).collect();
        let offset = cause.span().map_or(0, |span| span.start);
        if said.contains("unknown field") {
            let (name, known) = words.split_first().map_or(("", &[][..]), |(name, known)| (*name, known));
            let mut error = self.at(offset, format!("there is no key {name} here"));
            error.hint = nearest_of(name, known);
            return error;
        }
        if said.contains("missing field") {
            return self.at(offset, format!("{} is missing", words.first().unwrap_or(&"a key")));
        }
        if said.contains("untagged enum Statuses") {
            return self.at(offset, "statuses are expected: 202, \"2xx\" or [200, 201]");
        }
        if said.contains("untagged enum") {
            return self.at(offset, "a number is expected");
        }
        // What it says may repeat an address with its password: only what is expected is told.
        let expected = said.rsplit_once("expected ").map(|(_, what)| format!("{what} is expected"));
        self.at(offset, expected.unwrap_or_else(|| "not valid TOML".to_owned()))
    }

    fn profile(&self, document: Document) -> Result<Profile, ProfileError> {
        let name = document.name.get_ref();
        let fits = |one: u8| one.is_ascii_alphanumeric() || one == b'-';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(fits) || name == "companion" {
            let what = format!(
                "name = {name:?}: 1 to 32 letters, digits and dashes are expected, and not companion"
            );
            return Err(self.at(document.name.span().start, what));
        }
        let url = document.url.get_ref();
        if !["http://", "https://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme)) {
            let what = "url: an address that begins with http:// or https:// is expected";
            return Err(self.at(document.url.span().start, what));
        }
        let ready = document.ready.as_ref().map(|path| self.path_of("ready", path)).transpose()?;
        if document.request.len() > MOST_REQUESTS {
            return Err(self.at(0, format!("at most {MOST_REQUESTS} requests are expected")));
        }
        // A part that is not named has no address: not the one that the configuration knows.
        let address = |one: Option<AddressDocument>| one.map(|one| one.url).unwrap_or_default();
        let settings = BTreeMap::from([
            ("db.url", address(document.postgres)),
            ("kafka.brokers", document.kafka.map(|one| one.brokers).unwrap_or_default()),
            ("cache.url", address(document.redis)),
            ("external.prometheus_url", address(document.prometheus)),
            ("external.api_url", url.trim_end_matches('/').to_owned()),
            ("stack.name", name.clone()),
            ("stack.runtime", "external".into()),
        ]);
        let auth = self.auth(&document.auth)?;
        let flows = self.flows(&document.flow)?;
        let requests = document.request.iter().map(|one| self.request(one)).collect::<Result<Vec<_>, _>>()?;
        if !requests.is_empty() && requests.iter().all(|one| one.weight == 0.0) {
            return Err(self.at(0, "every request has the weight 0: nothing would be asked"));
        }
        let ledger = document.ledger.as_ref().map(|one| self.ledger(one, &requests)).transpose()?;
        Ok(Profile {
            name: name.clone(),
            file: Some(self.file.to_owned()),
            control: ready.clone(),
            ready,
            auth,
            requests,
            flows,
            ledger,
            settings,
            companion: false,
        })
    }

    /// A path that is asked as it stands, with `GET` before it or without.
    fn path_of(&self, key: &str, path: &Spanned<String>) -> Result<String, ProfileError> {
        let text = path.get_ref().trim_start_matches("GET ").trim();
        if !text.starts_with('/') || text.contains(char::is_whitespace) {
            let what = format!("{key} = {:?}: a path that begins with / is expected", path.get_ref());
            return Err(self.at(path.span().start, what));
        }
        Ok(text.to_owned())
    }

    fn auth(&self, written: &AuthDocument) -> Result<ProfileAuth, ProfileError> {
        let Some(kind) = &written.kind else {
            if let Some(header) = &written.header {
                return Err(self.at(header.span().start, "auth.kind is missing: none, header or bearer"));
            }
            if written.env.is_some() || written.file.is_some() {
                return Err(self.at(0, "auth.kind is missing: none, header or bearer"));
            }
            return Ok(ProfileAuth::Open);
        };
        let wrong = |what: &str| Err(self.at(kind.span().start, what));
        let secret = match (&written.env, &written.file) {
            (Some(name), None) => Some(SecretSource::Variable(name.clone())),
            (None, Some(file)) => Some(SecretSource::File(file.clone())),
            (Some(_), Some(_)) => return wrong("auth: env or file is expected, not both"),
            (None, None) => None,
        };
        let header = written.header.as_ref().map(|name| name.get_ref().to_lowercase());
        match (kind.get_ref().as_str(), header, secret) {
            ("none", None, None) => Ok(ProfileAuth::Open),
            ("none", ..) => wrong("auth of kind none has neither header nor env nor file"),
            ("header", Some(name), Some(secret)) => match is_header_name(&name) {
                true => Ok(ProfileAuth::Header { name, prefix: "", secret }),
                false => wrong("auth.header is no name of a header"),
            },
            ("header", None, _) => wrong("auth of kind header needs the name: header = \"x-api-key\""),
            ("bearer", None, Some(secret)) => {
                Ok(ProfileAuth::Header { name: "authorization".into(), prefix: "Bearer ", secret })
            }
            ("bearer", Some(_), _) => wrong("auth of kind bearer has no header: it is authorization"),
            ("header" | "bearer", ..) => {
                wrong("auth needs the place of the secret: env = \"NAME\" or file = \"PATH\"")
            }
            (other, ..) => {
                let mut error = self.at(kind.span().start, format!("auth.kind = {other:?} is not known"));
                error.hint = nearest_of(other, &["none", "header", "bearer"]);
                Err(error)
            }
        }
    }

    fn flows(&self, written: &[FlowDocument]) -> Result<Vec<ProfileFlow>, ProfileError> {
        let mut flows: Vec<ProfileFlow> = Vec::new();
        for one in written {
            let topic = one.topic.get_ref();
            if topic.is_empty() || one.group.is_empty() {
                return Err(self.at(one.topic.span().start, "a topic and a group are expected"));
            }
            // Partitions are told by their topic.
            if flows.iter().any(|known| known.topic == *topic) {
                return Err(self.at(one.topic.span().start, format!("the topic {topic} has a flow already")));
            }
            let begins = match &one.begins {
                None => FlowStart::Earliest,
                Some(word) => match word.get_ref().as_str() {
                    "earliest" => FlowStart::Earliest,
                    "latest" => FlowStart::Latest,
                    other => {
                        let what = format!("begins = {other:?}: earliest or latest is expected");
                        return Err(self.at(word.span().start, what));
                    }
                },
            };
            flows.push(ProfileFlow { topic: topic.clone(), group: one.group.clone(), begins });
        }
        Ok(flows)
    }

    fn ledger(
        &self,
        written: &LedgerDocument,
        requests: &[ProfileRequest],
    ) -> Result<ProfileLedger, ProfileError> {
        if !requests.iter().any(ProfileRequest::is_tracked) {
            let what = "a ledger needs a request with {{id}} that is acknowledged: it counts by these ids";
            return Err(self.at(written.stored.span().start, what));
        }
        // What is acknowledged without an id could not be told from what is lost.
        if let Some(other) = requests.iter().find(|one| !one.acknowledged.is_empty() && !one.is_tracked()) {
            let what = format!(
                "a ledger counts by ids: the request {} is acknowledged and has no {{{{id}}}}",
                other.name
            );
            return Err(self.at(written.stored.span().start, what));
        }
        Ok(ProfileLedger {
            stored: self.query("ledger.stored", &written.stored)?,
            finished: written.finished.as_ref().map(|one| self.query("ledger.final", one)).transpose()?,
        })
    }

    /// A query that only reads and takes the first part of ids.
    fn query(&self, key: &str, written: &Spanned<String>) -> Result<String, ProfileError> {
        let text = written.get_ref().trim();
        let reads = ["select", "with"].iter().any(|word| text.to_lowercase().starts_with(word));
        if !reads || text.contains(';') || !text.contains("$1") {
            let what =
                format!("{key}: one SELECT of ids is expected that takes the first part of them as $1");
            return Err(self.at(written.span().start, what));
        }
        Ok(text.to_owned())
    }

    fn request(&self, written: &RequestDocument) -> Result<ProfileRequest, ProfileError> {
        let method = match &written.method {
            Some(method) if METHODS.contains(&method.get_ref().as_str()) => method.get_ref().clone(),
            Some(method) => {
                let what =
                    format!("method = {:?}: one of {} is expected", method.get_ref(), METHODS.join(", "));
                return Err(self.at(method.span().start, what));
            }
            None => if written.body.is_some() { "POST" } else { "GET" }.to_owned(),
        };
        let weight = match *written.weight.get_ref() {
            Number::Whole(number) => number as f64,
            Number::Fraction(number) => number,
        };
        if !weight.is_finite() || weight < 0.0 {
            return Err(self.at(written.weight.span().start, "weight: a number from 0 is expected"));
        }
        let path = self.template("path", &written.path)?;
        if !written.path.get_ref().starts_with('/') || written.path.get_ref().contains(['\n', '#']) {
            let what = format!("path = {:?}: a path that begins with / is expected", written.path.get_ref());
            return Err(self.at(written.path.span().start, what));
        }
        let mut headers = BTreeMap::new();
        for (name, value) in &written.headers {
            if !is_header_name(name) || value.get_ref().contains(['\n', '\r']) {
                return Err(self.at(value.span().start, format!("{name}: a header is expected")));
            }
            headers.insert(name.to_lowercase(), self.template(name, value)?);
        }
        let body = written.body.as_ref().map(|body| self.template("body", body)).transpose()?;
        if body.is_some() && !headers.contains_key("content-type") {
            headers.insert("content-type".into(), Template::parse("application/json").unwrap_or_default());
        }
        let success = match &written.success {
            Some(statuses) => self.statuses(statuses)?,
            None => StatusSet::successes(),
        };
        let acknowledged = written.acknowledged.as_ref().map(|one| self.statuses(one)).transpose()?;
        let acknowledged = acknowledged.unwrap_or_default();
        if let Some(written) = written.acknowledged.as_ref().filter(|_| !success.covers(&acknowledged)) {
            let what = format!("acknowledged {acknowledged} is not among the successes {success}");
            return Err(self.at(written.span().start, what));
        }
        let name = written.name.clone().unwrap_or_else(|| format!("{method} {}", path.source()));
        Ok(ProfileRequest { name, weight, method, path, headers, body, success, acknowledged })
    }

    fn template(&self, key: &str, written: &Spanned<String>) -> Result<Template, ProfileError> {
        if written.get_ref().len() > MOST_BYTES {
            return Err(
                self.at(written.span().start, format!("{key}: at most {MOST_BYTES} bytes are expected"))
            );
        }
        let read = Template::parse(written.get_ref());
        read.map_err(|why| self.at(written.span().start, format!("{key}: {why}")))
    }

    fn statuses(&self, written: &Spanned<Statuses>) -> Result<StatusSet, ProfileError> {
        let all = match written.get_ref() {
            Statuses::One(one) => std::slice::from_ref(one),
            Statuses::Several(all) => all.as_slice(),
        };
        let mut set = StatusSet::default();
        for one in all {
            let word = match one {
                Status::Number(number) => number.to_string(),
                Status::Word(word) => word.clone(),
            };
            set.add(&word).map_err(|why| self.at(written.span().start, why))?;
        }
        if set.is_empty() {
            return Err(self.at(written.span().start, "at least one status is expected"));
        }
        Ok(set)
    }
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|one| one.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&one))
}
