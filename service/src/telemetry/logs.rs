//! Log lines: JSON objects or text, each with the id of the trace it belongs to.

use super::trace::current_trace_id;
use nsys_contract::config::Telemetry;
use serde_json::{Map, Value};
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Installs the log subscriber, to standard output.
pub fn install(settings: &Telemetry) {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let format = JsonLines { json: settings.log_json };
    // A second installation in one process (tests) keeps the first.
    // A line that a full disk does not take is lost; the fallback would be a panic.
    let log = tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(filter);
    let _ = log.event_format(format).try_init();
}

/// One event a line.
struct JsonLines {
    json: bool,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = crate::clock::now();
        let trace = current_trace_id();
        if self.json {
            let mut line = Map::new();
            line.insert("timestamp".to_owned(), now.to_string().into());
            line.insert("level".to_owned(), metadata.level().as_str().into());
            line.insert("target".to_owned(), metadata.target().into());
            line.insert("message".to_owned(), fields.message.into());
            if let Some(trace) = trace {
                line.insert("trace_id".to_owned(), trace.to_string().into());
            }
            if !fields.others.is_empty() {
                line.insert("fields".to_owned(), fields.others.into());
            }
            return writeln!(writer, "{}", Value::Object(line));
        }
        write!(writer, "{now} {:5} {}: {}", metadata.level(), metadata.target(), fields.message)?;
        for (name, value) in &fields.others {
            write!(writer, " {name}={value}")?;
        }
        if let Some(trace) = trace {
            write!(writer, " trace_id={trace}")?;
        }
        writeln!(writer)
    }
}

/// The fields of an event; the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = write!(text, "{value:?}");
        self.put(field, text.into());
    }
}
