//! Traces: W3C context in and out, spans to OTLP, all of it off the hot path.
//!
//! A request that is not sampled carries its trace id along (for logs and for the worker) but makes
//! no span. The exporter runs on a thread of its own.

use crate::domain::text::push_hex;
use axum::http::HeaderMap;
use nsys_contract::config::Telemetry;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use std::sync::OnceLock;

const TRACEPARENT: &str = "traceparent";
/// Length of a `traceparent`.
const PARENT_BYTES: usize = 55;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Ends the export of spans when the process ends.
pub struct Exporter(SdkTracerProvider);

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(cause) = self.0.shutdown() {
            tracing::warn!(%cause, "The last spans could not be exported.");
        }
    }
}

/// Starts the export when `telemetry.otlp_url` is set. Call it before the async runtime starts and
/// drop the answer after it ended: the exporter blocks.
///
/// # Errors
/// When the address is not one.
pub fn install(settings: &Telemetry) -> anyhow::Result<Option<Exporter>> {
    if settings.otlp_url.is_empty() {
        return Ok(None);
    }
    crate::tls::install();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint(&settings.otlp_url))
        .build()
        .map_err(|cause| anyhow::anyhow!("telemetry.otlp_url = {:?}: {cause}", settings.otlp_url))?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        // What reaches the tracer was sampled already, see `incoming`.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(Resource::builder().with_service_name(settings.service_name.clone()).build())
        .build();
    // A second installation in one process (tests) keeps the first.
    let _ = TRACER.set(provider.tracer("notification-service"));
    Ok(Some(Exporter(provider)))
}

/// The traces path of a collector's address, unless the address has a path already.
fn endpoint(url: &str) -> String {
    let bare = url.trim_end_matches('/');
    let has_path = bare.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if has_path { bare.to_owned() } else { format!("{bare}/v1/traces") }
}

/// The context of a request: continues the caller's trace or begins one. It holds a server span when
/// the caller's trace is sampled, or with the probability `share` when this is the beginning.
pub(crate) fn incoming(headers: &HeaderMap, share: f64, name: &'static str) -> Context {
    let parent = headers.get(TRACEPARENT).and_then(|text| text.to_str().ok()).and_then(parse);
    let sampled = match &parent {
        Some(parent) => parent.is_sampled(),
        None => share > 0.0 && rand::random::<f64>() < share,
    };
    begin(parent, sampled, name, SpanKind::Server)
}

/// The context in which a message is handled, from the trace context it carries.
pub(crate) fn consumed(traceparent: &str, name: &'static str) -> Option<Context> {
    let parent = parse(traceparent).filter(SpanContext::is_sampled)?;
    Some(begin(Some(parent), true, name, SpanKind::Consumer))
}

/// Whether a trace context asks for its spans to be recorded; cheap, for every message.
pub(crate) fn is_sampled(traceparent: &str) -> bool {
    traceparent.ends_with("-01") && TRACER.get().is_some()
}

/// Runs a step that is part of several traces at once: each gets a span of it.
pub(crate) async fn step_in_all<T>(
    contexts: &[Option<Context>],
    name: &'static str,
    work: impl Future<Output = T>,
) -> T {
    let Some(tracer) = TRACER.get() else { return work.await };
    let begin = |context: &Context| tracer.span_builder(name).start_with_context(tracer, context);
    let mut spans: Vec<_> = contexts.iter().flatten().map(begin).collect();
    let done = work.await;
    spans.iter_mut().for_each(opentelemetry::trace::Span::end);
    done
}

fn begin(parent: Option<SpanContext>, sampled: bool, name: &'static str, kind: SpanKind) -> Context {
    match TRACER.get().filter(|_| sampled) {
        Some(tracer) => {
            let above =
                parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
            let span = tracer.span_builder(name).with_kind(kind).start_with_context(tracer, &above);
            above.with_span(span)
        }
        None => {
            let span = parent.unwrap_or_else(|| {
                let (trace, span) =
                    (TraceId::from(rand::random::<u128>()), SpanId::from(rand::random::<u64>()));
                let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
                SpanContext::new(trace, span, flags, false, TraceState::NONE)
            });
            Context::new().with_remote_span_context(span)
        }
    }
}

/// Completes the server span of a request.
pub(crate) fn end_request(context: &Context, status: u16) {
    let span = context.span();
    if span.is_recording() {
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// Runs a step in a span of its own when the current trace is recorded, else just runs it.
pub(crate) async fn step<T>(
    name: &'static str,
    kind: SpanKind,
    attributes: impl FnOnce() -> Vec<KeyValue>,
    work: impl Future<Output = T>,
) -> T {
    use opentelemetry::context::FutureExt;
    let recorded = Context::map_current(|current| current.span().is_recording());
    let Some(tracer) = TRACER.get().filter(|_| recorded) else { return work.await };
    let current = Context::current();
    let builder = tracer.span_builder(name).with_kind(kind).with_attributes(attributes());
    let inner = current.with_span(builder.start_with_context(tracer, &current));
    let done = work.with_context(inner.clone()).await;
    inner.span().end();
    done
}

/// The header that hands a context on.
pub(crate) fn traceparent(context: &Context) -> Option<String> {
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| {
        let mut text = String::with_capacity(PARENT_BYTES);
        text.push_str("00-");
        push_hex(&mut text, &span.trace_id().to_bytes());
        text.push('-');
        push_hex(&mut text, &span.span_id().to_bytes());
        text.push('-');
        push_hex(&mut text, &[span.trace_flags().to_u8()]);
        text
    })
}

/// The header that hands the current context on.
pub(crate) fn current_traceparent() -> Option<String> {
    Context::map_current(traceparent)
}

/// The current trace's id, for log lines.
pub(crate) fn current_trace_id() -> Option<TraceId> {
    Context::map_current(|current| {
        let span = current.span();
        span.span_context().is_valid().then(|| span.span_context().trace_id())
    })
}

/// Reads a `traceparent` (W3C Trace Context, level 1); `None` for anything malformed.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower_hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let shaped = lower_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && lower_hex(trace, 32)
        && lower_hex(span, 16)
        && lower_hex(flags, 2);
    if !shaped {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & TraceFlags::SAMPLED.to_u8());
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_callers_trace_is_continued() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, PARENT.parse().unwrap());
        let context = incoming(&headers, 0.0, "test");
        assert!(traceparent(&context).unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    }

    #[test]
    fn a_request_without_one_begins_a_trace_that_is_not_sampled() {
        let text = traceparent(&incoming(&HeaderMap::new(), 0.0, "test")).unwrap();
        assert!(parse(&text).is_some() && text.ends_with("-00"), "{text}");
        assert_eq!(text.len(), PARENT_BYTES);
    }

    #[test]
    fn malformed_contexts_are_ignored() {
        let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for text in [
            "",
            "00",
            zeros,
            &PARENT[3..],
            &PARENT.to_uppercase(),
            &format!("{PARENT}-x"),
            &PARENT.replacen("00", "ff", 1),
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
        assert!(
            parse(&format!("{}-later", PARENT.replacen("00", "01", 1))).is_some(),
            "later versions add fields"
        );
    }

    #[test]
    fn the_collectors_path_is_added_when_it_is_missing() {
        assert_eq!(endpoint("http://localhost:4318"), "http://localhost:4318/v1/traces");
        assert_eq!(endpoint("http://localhost:4318/"), "http://localhost:4318/v1/traces");
        assert_eq!(endpoint("http://host/otlp/v1/traces"), "http://host/otlp/v1/traces");
    }
}
