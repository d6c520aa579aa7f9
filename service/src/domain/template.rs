//! Templates: which ones are allowed, and what they give. Pure, and bounded in time and memory.
//!
//! Steps are bounded by fuel and output by a counting writer, each for the payload as a whole. What could
//! grow a text out of sight of both (`set`, macros, `~`, `+`, `*`, arbitrary calls) is refused when the
//! template is stored. How deep a text nests is bounded before it is parsed, each time it is: the parser
//! and everything behind it go down by recursion.

mod syntax;

use super::{Violation, pointer, stored};
use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, filters};
use serde_json::{Map, Value as Json};
use std::io;
use syntax::{allowed, is_shallow};

/// Longest text of one field of a template, in bytes.
pub(crate) const MAX_SOURCE_BYTES: usize = 16 * 1024;
/// Largest `templateData` as JSON, in bytes.
pub(crate) const MAX_DATA_BYTES: usize = 64 * 1024;
/// Most texts of a template.
pub(crate) const MAX_TEXTS: usize = 256;
/// Longest text that a filter may make, in bytes.
const MAX_JOINED_BYTES: usize = 64 * 1024;
/// Steps that a payload may take; making a text counts by its length.
const FUEL: u64 = 20_000;
/// How deep payloads may nest.
const MAX_DEPTH: usize = 16;
/// Longest name, in bytes.
const MAX_NAME: usize = 64;
/// The templates of one process: syntax and the filters there are.
pub(crate) struct Renderer {
    environment: Environment<'static>,
}

impl Default for Renderer {
    fn default() -> Self {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(escaping);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("upper", filters::upper);
        environment.add_filter("lower", filters::lower);
        environment.add_filter("title", filters::title);
        environment.add_filter("capitalize", filters::capitalize);
        environment.add_filter("trim", filters::trim);
        environment.add_filter("default", filters::default);
        environment.add_filter("escape", filters::escape);
        environment.add_filter("safe", filters::safe);
        environment.add_filter("length", filters::length);
        environment.add_filter("first", filters::first);
        environment.add_filter("last", filters::last);
        environment.add_filter("round", filters::round);
        environment.add_filter("int", filters::int);
        environment.add_filter("abs", filters::abs);
        environment.add_filter("join", join);
        environment.add_test("defined", minijinja::tests::is_defined);
        environment.add_test("undefined", minijinja::tests::is_undefined);
        environment.add_test("none", minijinja::tests::is_none);
        Self { environment }
    }
}

impl Renderer {
    /// What is wrong with a payload of templates of at most `max_bytes`; empty when it may be stored.
    pub(crate) fn check(&self, payload: &Map<String, Json>, max_bytes: usize) -> Vec<Violation> {
        let text = serde_json::to_string(payload).unwrap_or_default();
        if let Some(wrong) = stored::violation("/payload", &text, max_bytes) {
            return vec![wrong];
        }
        let (mut wrong, mut texts) = (Vec::new(), 0);
        let outcome = each_text(payload, |pointer, source| {
            texts += 1;
            if let Err(detail) = self.check_text(source) {
                wrong.push(Violation::at(format!("/payload{pointer}"), detail));
            }
            Ok(Json::Null)
        });
        wrong.extend(outcome.err());
        if texts > MAX_TEXTS {
            wrong.push(Violation::new(
                "/payload",
                format!("must have at most {MAX_TEXTS} strings, and has {texts}"),
            ));
        }
        wrong
    }

    fn check_text(&self, source: &str) -> Result<(), String> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(format!("must be at most {MAX_SOURCE_BYTES} bytes"));
        }
        is_shallow(source)?;
        let parsed = minijinja::machinery::parse(source, "field", minijinja::syntax::SyntaxConfig::default());
        allowed(&parsed.map_err(|cause| reason(&cause))?)?;
        self.environment.template_from_str(source).map(drop).map_err(|cause| reason(&cause))
    }

    /// Fills every text of the payload with the data. Together they give at most `max_bytes`.
    ///
    /// This works for as long as the fuel lasts, and does not yield.
    pub(crate) fn render(
        &self,
        payload: &Map<String, Json>,
        data: &Map<String, Json>,
        max_bytes: usize,
    ) -> Result<Map<String, Json>, Violation> {
        let context = Value::from(Serde(data));
        let mut budget = Budget { environment: self.environment.clone(), fuel: FUEL, bytes: max_bytes };
        each_text(payload, |pointer, source| {
            let text = if source.contains('{') {
                budget.render(pointer, source, &context)
            } else {
                budget.copy(source)
            };
            text.map(Json::from).map_err(|why| why.at(pointer, max_bytes))
        })
    }
}

/// What is left for the texts of a payload that were not filled yet.
struct Budget {
    environment: Environment<'static>,
    fuel: u64,
    bytes: usize,
}

/// Why a text is not filled.
enum Unfilled {
    /// The texts together are longer than they may be.
    TooLong,
    /// The template, or the data, does not do.
    Wrong(String),
}

impl Unfilled {
    fn at(self, pointer: &str, max_bytes: usize) -> Violation {
        let detail = match self {
            Self::TooLong => format!("the strings of the payload are longer than {max_bytes} bytes"),
            Self::Wrong(detail) => format!("payload{pointer}: {detail}"),
        };
        Violation::new("/templateData", detail)
    }
}

impl Budget {
    fn copy(&mut self, source: &str) -> Result<String, Unfilled> {
        self.bytes = self.bytes.checked_sub(source.len()).ok_or(Unfilled::TooLong)?;
        Ok(source.to_owned())
    }

    fn render(&mut self, pointer: &str, source: &str, context: &Value) -> Result<String, Unfilled> {
        let wrong = |cause: minijinja::Error| Unfilled::Wrong(reason(&cause));
        // What was stored before there was a bound is not parsed either.
        is_shallow(source).map_err(Unfilled::Wrong)?;
        self.environment.set_fuel(Some(self.fuel));
        let template = self.environment.template_from_named_str(pointer, source).map_err(wrong)?;
        let mut output = Bounded { text: Vec::new(), left: self.bytes };
        let fuel = match template.render_captured_to(context.clone(), &mut output) {
            Ok(rendered) => rendered.state().fuel_levels().map_or(self.fuel, |(_, left)| left),
            Err(cause) if cause.kind() == ErrorKind::WriteFailure => return Err(Unfilled::TooLong),
            Err(cause) => return Err(wrong(cause)),
        };
        (self.fuel, self.bytes) = (fuel, output.left);
        String::from_utf8(output.text).map_err(|_| Unfilled::Wrong("the text is not UTF-8".to_owned()))
    }
}

/// How values are written into a text at this place of the payload. The `html` of a mail is HTML: what comes from
/// elsewhere is text in it, unless the template says `|safe`.
fn escaping(pointer: &str) -> AutoEscape {
    if pointer.ends_with("/html") { AutoEscape::Html } else { AutoEscape::None }
}

/// Whether a name can be a template's: it stands in paths.
pub(crate) fn name_fits(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('.')
}

/// Replaces every text of a payload; `change` gets its place as a JSON pointer.
fn each_text(
    payload: &Map<String, Json>,
    mut change: impl FnMut(&str, &str) -> Result<Json, Violation>,
) -> Result<Map<String, Json>, Violation> {
    fn walk(
        value: &Json,
        place: &str,
        depth: usize,
        change: &mut impl FnMut(&str, &str) -> Result<Json, Violation>,
    ) -> Result<Json, Violation> {
        if depth > MAX_DEPTH {
            return Err(Violation::at(format!("/payload{place}"), format!("nests deeper than {MAX_DEPTH}")));
        }
        let below = |key: &str| format!("{place}/{}", pointer::escaped(key));
        Ok(match value {
            Json::String(text) => change(place, text)?,
            Json::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| walk(item, &below(&index.to_string()), depth + 1, change))
                .collect::<Result<_, _>>()?,
            Json::Object(fields) => fields
                .iter()
                .map(|(key, item)| Ok((key.clone(), walk(item, &below(key), depth + 1, change)?)))
                .collect::<Result<Map<_, _>, Violation>>()?
                .into(),
            other => other.clone(),
        })
    }
    payload
        .iter()
        .map(|(key, value)| {
            let place = format!("/{}", pointer::escaped(key));
            Ok((key.clone(), walk(value, &place, 0, &mut change)?))
        })
        .collect()
}

/// The message without the name and the excerpt that the engine adds.
fn reason(cause: &minijinja::Error) -> String {
    let what = cause.detail().map_or_else(|| cause.kind().to_string(), str::to_owned);
    match cause.kind() {
        ErrorKind::OutOfFuel => "the template takes too many steps".to_owned(),
        ErrorKind::UndefinedError => format!("a value is missing: {what}"),
        _ => what,
    }
}

/// `join`, with a bound on what it gives.
fn join(value: &Value, separator: Option<&str>) -> Result<String, minijinja::Error> {
    let separator = separator.unwrap_or("");
    let mut text = String::new();
    for (index, item) in value.try_iter()?.enumerate() {
        if index > 0 {
            text.push_str(separator);
        }
        if item.kind() == ValueKind::Map || item.kind() == ValueKind::Seq {
            return Err(minijinja::Error::new(
                ErrorKind::InvalidOperation,
                "only plain values can be joined",
            ));
        }
        text.push_str(&item.to_string());
        if text.len() > MAX_JOINED_BYTES {
            return Err(minijinja::Error::new(ErrorKind::WriteFailure, "too long"));
        }
    }
    Ok(text)
}

/// Takes so many bytes and no more.
struct Bounded {
    text: Vec<u8>,
    left: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let too_long = || io::Error::new(io::ErrorKind::FileTooLarge, "the text is too long");
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(too_long)?;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::syntax::{FILTERS, MAX_BLOCKS, MAX_TOKENS, TESTS};
    use super::*;
    use serde_json::json;

    /// Bytes of a payload.
    const MAX: usize = 65_536;

    fn object(value: Json) -> Map<String, Json> {
        value.as_object().cloned().unwrap()
    }

    fn checked(source: &str) -> Vec<Violation> {
        Renderer::default().check(&object(json!({ "body": source })), MAX)
    }

    fn rendered(source: &str, data: Json) -> Result<String, String> {
        let payload = object(json!({ "body": source }));
        let filled = Renderer::default().render(&payload, &object(data), MAX);
        filled.map(|filled| filled["body"].as_str().unwrap().to_owned()).map_err(|wrong| wrong.detail)
    }

    #[test]
    fn texts_are_filled_wherever_they_stand() {
        let payload =
            object(json!({"subject": "Hi {{ name }}", "data": {"list": ["{{ n }}", 5]}, "plain": "a { b"}));
        let filled =
            Renderer::default().render(&payload, &object(json!({"name": "Ada", "n": 3})), MAX).unwrap();
        assert_eq!(
            Json::from(filled),
            json!({"subject": "Hi Ada", "data": {"list": ["3", 5]}, "plain": "a { b"})
        );
    }

    #[test]
    fn conditions_loops_and_filters_work() {
        let source = "{% for item in items %}{{ loop.index }}:{{ item.name|upper }} {% endfor %}{{ tags|join(', ') }}{% if vip %}!{% endif %}";
        let data = json!({"items": [{"name": "a"}, {"name": "b"}], "tags": ["x", "y"], "vip": true});
        assert!(checked(source).is_empty());
        assert_eq!(rendered(source, data).unwrap(), "1:A 2:B x, y!");
    }

    #[test]
    fn values_in_html_are_text_unless_the_template_says_otherwise() {
        let source = "{{ name }} {{ name|escape }} {{ name|safe }} {{ tags|join(', ') }}";
        let payload = object(json!({ "html": source, "body": source }));
        assert_eq!(Renderer::default().check(&payload, MAX), []);
        let data = object(json!({"name": "<b>", "tags": ["<i>"]}));
        let filled = Renderer::default().render(&payload, &data, MAX).unwrap();
        assert_eq!(filled["html"], "&lt;b&gt; &lt;b&gt; <b> &lt;i&gt;");
        assert_eq!(filled["body"], "<b> &lt;b&gt; <b> <i>");
    }

    #[test]
    fn a_missing_value_is_told() {
        let told = rendered("Hi {{ name }}", json!({})).unwrap_err();
        assert!(told.contains("payload/body") && told.contains("missing"), "{told}");
    }

    #[test]
    fn what_multiplies_text_is_refused() {
        let sources = [
            "{% set x = 'a' %}",
            "{% set x %}a{% endset %}",
            "{{ a ~ a }}",
            "{{ a + a }}",
            "{{ a * 9 }}",
            "{% macro m() %}{% endmacro %}",
            "{{ [a, a] }}",
            "{{ a.format(a) }}",
            "{{ range(9) }}",
            "{% with b = a %}{{ b }}{% endwith %}",
            "{% include 'a' %}",
            "{{ a|replace('a', 'b') }}",
            "{{ a",
            "{% raw %}{{ \" {% endraw %}{{ x ~ x }}\" }}",
            "{% filter upper %}a{% endfilter %}",
        ];
        for source in sources {
            let wrong = checked(source);
            assert_eq!(wrong.len(), 1, "{source}");
            assert_eq!(wrong[0].pointer, "/payload/body");
        }
    }

    #[test]
    fn endless_work_and_endless_text_end() {
        let items: Vec<u32> = (0..1_000).collect();
        let nested =
            "{% for a in items %}{% for b in items %}{% if a == b %}{% endif %}{% endfor %}{% endfor %}";
        assert!(rendered(nested, json!({ "items": items })).unwrap_err().contains("too many steps"));
        let long = "{% for a in items %}{{ text }}{% endfor %}";
        let data = json!({"items": items, "text": "x".repeat(1_000)});
        assert!(rendered(long, data).unwrap_err().contains("longer than"));
    }

    #[test]
    fn depth_is_refused_before_it_is_parsed() {
        let filters = format!("{{{{ x{} }}}}", "|abs".repeat(1_000));
        let brackets = format!("{{{{ {}x{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
        let blocks = format!("{}x{}", "{% if x %}".repeat(500), "{% endif %}".repeat(500));
        let loops = format!("{}x{}", "{% for x in y %}".repeat(500), "{% endfor %}".repeat(500));
        let branches = format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(500));
        let open = "{% if x %}".repeat(500);
        let deep = [
            format!("{{{{ {}1 }}}}", "-".repeat(9_000)),
            format!("{{{{ x{} }}}}", ".a".repeat(8_000)),
            format!("{{{{ x{} }}}}", "[0]".repeat(4_000)),
            format!("{{{{ {}x }}}}", "not ".repeat(4_000)),
            format!("{{{{ 1{} }}}}", "-1".repeat(8_000)),
            format!("{{{{ x{} }}}}", " if x else x".repeat(1_000)),
            format!("{{% if x{} %}}{{% endif %}}", ".a".repeat(8_000)),
            filters,
            brackets,
            blocks,
            loops,
            branches,
            open,
        ];
        for source in &deep {
            let wrong = checked(source);
            assert_eq!(wrong.len(), 1, "{}", &source[..40]);
            assert!(
                ["parts", "nested", "bytes"].iter().any(|why| wrong[0].detail.contains(why)),
                "{wrong:?}"
            );
            // It may have been stored before there was a bound.
            assert!(rendered(source, json!({"x": 1, "y": []})).is_err(), "{}", &source[..40]);
        }
        let long = format!("{}{}", "{{ x }}".repeat(500), "{% if x %}{% endif %}".repeat(200));
        assert_eq!(checked(&long), [], "what stands side by side is not deep");
        let widest = format!("{{{{ {}1 }}}}", "-".repeat(MAX_TOKENS - 1));
        assert_eq!(checked(&widest), []);
        let deepest = format!("{}x{}", "{% if x %}".repeat(MAX_BLOCKS), "{% endif %}".repeat(MAX_BLOCKS));
        assert_eq!(checked(&deepest), []);
    }

    #[test]
    fn a_payload_is_bounded_as_a_whole() {
        let many = |count: usize, source: &str| -> Map<String, Json> {
            (0..count).map(|number| (format!("f{number}"), Json::from(source))).collect()
        };
        let renderer = Renderer::default();
        assert!(renderer.check(&many(MAX_TEXTS, "{{ x }}"), MAX).is_empty());
        let wrong = renderer.check(&many(MAX_TEXTS + 1, "{{ x }}"), MAX);
        assert!(wrong[0].detail.contains("at most 256 strings"), "{wrong:?}");
        // Each of them alone would do.
        let data = object(json!({"x": "y".repeat(1_000), "list": (0..300).collect::<Vec<u32>>()}));
        let wrong = renderer.render(&many(200, "{{ x }}"), &data, MAX).unwrap_err();
        assert!(wrong.pointer == "/templateData" && wrong.detail.contains("longer than 65536"), "{wrong:?}");
        let wrong = renderer.render(&many(100, &"z".repeat(1_000)), &data, MAX).unwrap_err();
        assert!(wrong.detail.contains("longer than"), "{wrong:?}");
        let looped = "{% for a in list %}{% if a %}{% endif %}{% endfor %}";
        assert!(renderer.render(&many(1, looped), &data, MAX).is_ok());
        let wrong = renderer.render(&many(100, looped), &data, MAX).unwrap_err();
        assert!(wrong.detail.contains("too many steps"), "{wrong:?}");
    }

    #[test]
    fn what_the_table_could_not_give_back_is_not_stored() {
        let check = |payload: Json| Renderer::default().check(&object(payload), MAX);
        let wrong = check(json!({"title": "x", "n": [1, f64::MAX]}));
        assert_eq!((wrong.len(), &*wrong[0].pointer), (1, "/payload/n/1"));
        assert_eq!(check(json!({"title": "a\0"}))[0].pointer, "/payload/title");
        assert!(
            check(json!({"title": "x".repeat(15_000), "a": "y".repeat(15_000), "b": "z".repeat(40_000)}))[0]
                .detail
                .contains("65536")
        );
    }

    #[test]
    fn every_filter_and_test_that_is_named_is_there() {
        let data = json!({"a": "x", "n": 1.5, "list": ["x"]});
        for filter in FILTERS {
            let value = match filter {
                "round" | "int" | "abs" => "n",
                "join" | "first" | "last" => "list",
                _ => "a",
            };
            assert!(rendered(&format!("{{{{ {value}|{filter} }}}}"), data.clone()).is_ok(), "{filter}");
        }
        for test in TESTS {
            assert!(rendered(&format!("{{{{ a is {test} }}}}"), data.clone()).is_ok(), "{test}");
        }
    }

    #[test]
    fn names_can_stand_in_a_path() {
        assert!(name_fits("welcome-mail_2.en"));
        for name in ["", "..", ".hidden", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(!name_fits(name), "{name}");
        }
    }
}
