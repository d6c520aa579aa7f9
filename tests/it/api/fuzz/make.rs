//! Requests by chance: as the document says, and broken in one place or altogether.

use super::schema::{Document, types};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Url;
use serde_json::{Map, Value, json};

/// Texts at the edges of what texts can be.
const TEXTS: [&str; 22] = [
    "",
    " ",
    "\0",
    "a\0b",
    "0",
    "-1",
    "18446744073709551616",
    "99999999999999999999999999",
    "1e400",
    "NaN",
    "null",
    "true",
    "[]",
    "' OR '1'='1",
    "..%2f..%2fetc%2fpasswd",
    "\u{202e}\u{1F600}é",
    "\u{ffff}",
    "2026-13-45T99:99:99Z",
    "-009999-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "0001-01-01T00:00:00+25:00",
    "Zm9vIGJhcg",
];

/// Bodies that are none.
const BODIES: [&[u8]; 12] = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"\"",
    b"{\"a\": 1}{\"b\": 2}",
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b"{\"userId\": \"\\ud800\"}",
    b"{\"userId\": \"u\", \"userId\": \"v\"}",
    b"{\"payload\": {\"n\": 1e999999}}",
    b"NaN",
];

/// What decides; the same seed makes the same requests.
pub(super) struct Chance(StdRng);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.0.random_range(0..count) == 0
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.0.random_range(0..choices.len())]
    }

    fn text(&mut self) -> String {
        match self.0.random_range(0..12) {
            0 => "x".repeat(300),
            1 => "é".repeat(2_000),
            _ => (*self.of(&TEXTS)).to_owned(),
        }
    }

    fn word(&mut self) -> String {
        format!("fuzz-{:08x}", self.0.random::<u32>())
    }
}

/// What is sent.
#[derive(Debug)]
pub(super) struct Request {
    id: String,
    query: Vec<(String, String)>,
    pub(super) headers: Vec<(&'static str, Vec<u8>)>,
    pub(super) body: Option<Vec<u8>>,
}

impl Request {
    /// Its address.
    pub(super) fn url(&self, base: &str, path: &str) -> Url {
        let mut url = Url::parse(base).expect("an address");
        url.path_segments_mut().expect("a base").clear().extend(
            path.split('/').skip(1).map(|segment| if segment == "{id}" { self.id.as_str() } else { segment }),
        );
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

/// A request to an operation: as the document says, or broken somewhere.
pub(super) fn request(
    document: &Document<'_>,
    path: &str,
    shape: &Value,
    right: bool,
    chance: &mut Chance,
) -> Request {
    let mut request =
        Request { id: id(path, right, chance), query: Vec::new(), headers: Vec::new(), body: None };
    for parameter in shape["parameters"].as_array().into_iter().flatten() {
        // Without a time a profile takes half a minute.
        let stays = parameter["name"] == "seconds";
        if parameter["in"] == "query" && (stays || chance.one_in(2)) {
            let name = parameter["name"].as_str().expect("a name").to_owned();
            request.query.extend(
                parameter_text(document, &name, &parameter["schema"], right, chance).map(|text| (name, text)),
            );
        }
    }
    if !right && chance.one_in(6) {
        request.query.push((chance.word(), chance.text()));
    }
    if let Some(content) = shape["requestBody"]["content"].as_object() {
        let (kind, content) = content.iter().next().expect("a media type");
        body(&mut request, document, kind, &content["schema"], right, chance);
    }
    if !right {
        header(&mut request, chance);
    }
    request
}

fn id(path: &str, right: bool, chance: &mut Chance) -> String {
    let plain = if path.starts_with("/dlq") {
        chance.0.random_range(1_000_000_u32..2_000_000).to_string()
    } else if path.starts_with("/notifications") || path.starts_with("/admin/users") {
        uuid::Uuid::from_u128(chance.0.random()).to_string()
    } else {
        chance.word()
    };
    if right || chance.one_in(2) { plain } else { chance.text() }
}

/// The text of a query parameter; `None` to leave it out.
fn parameter_text(
    document: &Document<'_>,
    name: &str,
    schema: &Value,
    right: bool,
    chance: &mut Chance,
) -> Option<String> {
    // A profile takes as long as it is told.
    if name == "seconds" {
        return Some(if right { "1" } else { "soon" }.to_owned());
    }
    if !right && chance.one_in(2) {
        return Some(chance.text());
    }
    // Only a cursor of an earlier page is one.
    if name == "cursor" {
        return None;
    }
    Some(match value(document, name, schema, chance) {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

fn body(
    request: &mut Request,
    document: &Document<'_>,
    kind: &str,
    schema: &Value,
    right: bool,
    chance: &mut Chance,
) {
    let mut made = value(document, "", schema, chance);
    let mut kind = kind.to_owned();
    request.body = Some(if right {
        made.to_string().into_bytes()
    } else {
        match chance.0.random_range(0..10) {
            0 => chance.of(&BODIES).to_vec(),
            1 => {
                kind =
                    (*chance.of(&["text/plain", "", "application/xml", "application/json; charset=utf-16"]))
                        .to_owned();
                made.to_string().into_bytes()
            }
            2 => [vec![b'['; 5_000], vec![b']'; 5_000]].concat(),
            _ => {
                spoil(&mut made, chance);
                made.to_string().into_bytes()
            }
        }
    });
    request.headers.push(("content-type", kind.into_bytes()));
}

/// A value as its schema says, with what makes sense under its name.
fn value(document: &Document<'_>, name: &str, schema: &Value, chance: &mut Chance) -> Value {
    let schema = document.resolved(schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        return value(document, name, &choices[0], chance);
    }
    if let Some(members) = schema["enum"].as_array() {
        return chance.of(members).clone();
    }
    match types(schema).first().copied().unwrap_or("object") {
        "string" => json!(text_for(name, &schema["format"], chance)),
        "integer" => json!(chance.0.random_range(1..200)),
        "number" => json!(1.5),
        // True would close the replica, or sign everybody out.
        "boolean" => json!(name == "dry_run"),
        "array" => {
            let count = chance.0.random_range(0..4);
            (0..count).map(|_| value(document, "", &schema["items"], chance)).collect()
        }
        _ => object(document, name, schema, chance),
    }
}

fn object(document: &Document<'_>, name: &str, schema: &Value, chance: &mut Chance) -> Value {
    let Some(properties) = schema["properties"].as_object() else {
        // What every channel takes.
        return match name {
            "payload" => {
                json!({"to": "a@example.com", "deviceToken": "d", "title": "t", "url": "https://example.com/"})
            }
            _ => json!({}),
        };
    };
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut made = Map::new();
    for (name, schema) in properties {
        // Only what exists can be named.
        let named = ["templateId", "templateData", "scheduledFor", "expiresAt"].contains(&name.as_str());
        if required.contains(&json!(name)) || name == "payload" || (!named && chance.one_in(2)) {
            made.insert(name.clone(), value(document, name, schema, chance));
        }
    }
    Value::Object(made)
}

fn text_for(name: &str, format: &Value, chance: &mut Chance) -> String {
    match name {
        "email" => format!("{}@example.com", chance.word()),
        "password" => "correct horse".to_owned(),
        "timezone" => "Europe/Berlin".to_owned(),
        "from" | "to" if format == "date-time" => "2026-01-01T00:00:00Z".to_owned(),
        "from" | "to" => "07:30".to_owned(),
        _ if format == "date-time" => "2100-01-01T00:00:00Z".to_owned(),
        _ => chance.word(),
    }
}

/// Breaks a value in one place.
fn spoil(value: &mut Value, chance: &mut Chance) {
    match value {
        Value::Object(fields) if !fields.is_empty() && !chance.one_in(8) => {
            let names: Vec<_> = fields.keys().cloned().collect();
            let name = chance.of(&names).clone();
            match chance.0.random_range(0..6) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(chance.word(), json!(1))),
                2 => fields[&name] = any(chance),
                _ => spoil(&mut fields[&name], chance),
            }
        }
        Value::Array(items) if !items.is_empty() && !chance.one_in(8) => {
            let place = chance.0.random_range(0..items.len());
            spoil(&mut items[place], chance);
        }
        other => *other = any(chance),
    }
}

/// Anything at all.
fn any(chance: &mut Chance) -> Value {
    match chance.0.random_range(0..12) {
        0 => Value::Null,
        1 => json!(false),
        2 => json!(i64::MIN),
        3 => json!(u64::MAX),
        4 => json!(1e308),
        5 => json!(-0.5),
        6 => json!([]),
        7 => json!({"": {"\0": [null]}}),
        8 => (0..200).fold(Value::Null, |inner, _| json!([inner])),
        _ => json!(chance.text()),
    }
}

fn header(request: &mut Request, chance: &mut Chance) {
    let values: [&[u8]; 6] = [b"", b"\"\"", b"\xe9\xff", b"*", b"W/\"1\"", b"99999999999999999999"];
    let names = [
        "idempotency-key",
        "if-match",
        "if-none-match",
        "last-event-id",
        "prefer",
        "x-correlation-id",
        "traceparent",
    ];
    if chance.one_in(3) {
        let long = vec![b'k'; 300];
        let value = if chance.one_in(4) { long } else { chance.of(&values).to_vec() };
        request.headers.push((*chance.of(&names), value));
    }
}
