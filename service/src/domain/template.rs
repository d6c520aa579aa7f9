//! Templates: which ones are allowed, and what they give. Pure, and bounded in time and memory.
//!
//! Steps are bounded by fuel and output by a counting writer. What could grow a text out of sight of
//! both (`set`, macros, `~`, `+`, `*`, arbitrary calls) is refused when the template is stored.

use super::Violation;
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, Stmt};
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value, filters};
use serde_json::{Map, Value as Json};
use std::io;

/// Longest text of one field of a template, in bytes.
pub(crate) const MAX_SOURCE_BYTES: usize = 16 * 1024;
/// Largest `templateData` as JSON, in bytes.
pub(crate) const MAX_DATA_BYTES: usize = 64 * 1024;
/// Longest text that one field may give, in bytes.
pub(crate) const MAX_OUTPUT_BYTES: usize = 64 * 1024;
/// Steps that one field may take.
const FUEL: u64 = 20_000;
/// How deep payloads may nest.
const MAX_DEPTH: usize = 16;
/// Longest name, in bytes.
const MAX_NAME: usize = 64;
/// The filters there are.
const FILTERS: [&str; 14] = [
    "upper",
    "lower",
    "title",
    "capitalize",
    "trim",
    "default",
    "escape",
    "length",
    "first",
    "last",
    "round",
    "int",
    "abs",
    "join",
];
/// The tests there are.
const TESTS: [&str; 3] = ["defined", "undefined", "none"];

/// The templates of one process: syntax and the filters there are.
pub(crate) struct Renderer {
    environment: Environment<'static>,
}

impl Default for Renderer {
    fn default() -> Self {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("upper", filters::upper);
        environment.add_filter("lower", filters::lower);
        environment.add_filter("title", filters::title);
        environment.add_filter("capitalize", filters::capitalize);
        environment.add_filter("trim", filters::trim);
        environment.add_filter("default", filters::default);
        environment.add_filter("escape", filters::escape);
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
    /// What is wrong with a payload of templates; empty when it may be stored.
    pub(crate) fn check(&self, payload: &Map<String, Json>) -> Vec<Violation> {
        let mut wrong = Vec::new();
        let outcome = each_text(payload, |pointer, source| {
            if let Err(detail) = self.check_text(source) {
                wrong.push(Violation::at(format!("/payload{pointer}"), detail));
            }
            Ok(Json::Null)
        });
        wrong.extend(outcome.err());
        wrong
    }

    fn check_text(&self, source: &str) -> Result<(), String> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(format!("must be at most {MAX_SOURCE_BYTES} bytes"));
        }
        let parsed = minijinja::machinery::parse(source, "field", minijinja::syntax::SyntaxConfig::default());
        allowed(&parsed.map_err(|cause| told(&cause))?)?;
        self.environment.template_from_str(source).map(drop).map_err(|cause| told(&cause))
    }

    /// Fills every text of the payload with the data.
    pub(crate) fn render(
        &self,
        payload: &Map<String, Json>,
        data: &Map<String, Json>,
    ) -> Result<Map<String, Json>, Violation> {
        let context = Value::from(Serde(data));
        each_text(payload, |pointer, source| {
            if !source.contains('{') {
                return Ok(Json::from(source));
            }
            self.render_text(source, &context).map(Json::from).map_err(|detail| {
                Violation::at("/templateData".to_owned(), format!("payload{pointer}: {detail}"))
            })
        })
    }

    fn render_text(&self, source: &str, context: &Value) -> Result<String, String> {
        let template = self.environment.template_from_str(source).map_err(|cause| told(&cause))?;
        let mut output = Bounded(Vec::new());
        match template.render_captured_to(context.clone(), &mut output) {
            Ok(_) => String::from_utf8(output.0).map_err(|_| "the text is not UTF-8".to_owned()),
            Err(cause) if cause.kind() == ErrorKind::WriteFailure => {
                Err(format!("the text is longer than {MAX_OUTPUT_BYTES} bytes"))
            }
            Err(cause) => Err(told(&cause)),
        }
    }
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
        pointer: &str,
        depth: usize,
        change: &mut impl FnMut(&str, &str) -> Result<Json, Violation>,
    ) -> Result<Json, Violation> {
        if depth > MAX_DEPTH {
            return Err(Violation::at(
                format!("/payload{pointer}"),
                format!("nests deeper than {MAX_DEPTH}"),
            ));
        }
        let below = |key: &str| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        Ok(match value {
            Json::String(text) => change(pointer, text)?,
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
            let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
            Ok((key.clone(), walk(value, &pointer, 0, &mut change)?))
        })
        .collect()
}

/// The message without the name and the excerpt that the engine adds.
fn told(cause: &minijinja::Error) -> String {
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
        if text.len() > MAX_OUTPUT_BYTES {
            return Err(minijinja::Error::new(ErrorKind::WriteFailure, "too long"));
        }
    }
    Ok(text)
}

/// Takes so many bytes and no more.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the text is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Refuses statements that could keep or multiply text.
fn allowed(statement: &Stmt<'_>) -> Result<(), String> {
    let all = |body: &[Stmt<'_>]| body.iter().try_for_each(allowed);
    match statement {
        Stmt::Template(template) => all(&template.children),
        Stmt::EmitExpr(emit) => allowed_expression(&emit.expr),
        Stmt::EmitRaw(_) => Ok(()),
        Stmt::IfCond(branch) => {
            allowed_expression(&branch.expr)?;
            all(&branch.true_body)?;
            all(&branch.false_body)
        }
        Stmt::ForLoop(looped) if !looped.recursive => {
            allowed_expression(&looped.iter)?;
            looped.filter_expr.iter().try_for_each(allowed_expression)?;
            all(&looped.body)?;
            all(&looped.else_body)
        }
        _ => Err("only `{{ … }}`, `{% if %}` and `{% for %}` can be used".to_owned()),
    }
}

fn allowed_expression(expression: &Expr<'_>) -> Result<(), String> {
    match expression {
        Expr::Var(_) | Expr::Const(_) => Ok(()),
        Expr::UnaryOp(unary) => allowed_expression(&unary.expr),
        Expr::BinOp(binary) => {
            if matches!(binary.op, BinOpKind::Add | BinOpKind::Mul | BinOpKind::Pow | BinOpKind::Concat) {
                return Err("`+`, `*`, `**` and `~` cannot be used".to_owned());
            }
            allowed_expression(&binary.left)?;
            allowed_expression(&binary.right)
        }
        Expr::Compare(compared) => {
            allowed_expression(&compared.expr)?;
            compared.ops.iter().try_for_each(|one| allowed_expression(&one.expr))
        }
        Expr::IfExpr(branch) => {
            allowed_expression(&branch.test_expr)?;
            allowed_expression(&branch.true_expr)?;
            branch.false_expr.iter().try_for_each(allowed_expression)
        }
        Expr::Filter(filter) => {
            known("filter", filter.name, &FILTERS)?;
            filter.expr.iter().try_for_each(allowed_expression)?;
            filter.args.iter().try_for_each(allowed_argument)
        }
        Expr::Test(test) => {
            known("test", test.name, &TESTS)?;
            allowed_expression(&test.expr)?;
            test.args.iter().try_for_each(allowed_argument)
        }
        Expr::GetAttr(get) => allowed_expression(&get.expr),
        Expr::GetItem(get) => {
            allowed_expression(&get.expr)?;
            allowed_expression(&get.subscript_expr)
        }
        _ => Err("calls, slices and literal lists cannot be used".to_owned()),
    }
}

/// The engine would only find out when the template is used.
fn known(what: &str, name: &str, all: &[&str]) -> Result<(), String> {
    if all.contains(&name) {
        Ok(())
    } else {
        Err(format!("there is no {what} {name}; there are {}", all.join(", ")))
    }
}

fn allowed_argument(argument: &CallArg<'_>) -> Result<(), String> {
    match argument {
        CallArg::Pos(value) | CallArg::Kwarg(_, value) => allowed_expression(value),
        CallArg::PosSplat(_) | CallArg::KwargSplat(_) => Err("`*` cannot be used".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Json) -> Map<String, Json> {
        value.as_object().cloned().unwrap()
    }

    fn rendered(source: &str, data: Json) -> Result<String, String> {
        let payload = object(json!({ "body": source }));
        let filled = Renderer::default().render(&payload, &object(data));
        filled.map(|filled| filled["body"].as_str().unwrap().to_owned()).map_err(|wrong| wrong.detail)
    }

    #[test]
    fn texts_are_filled_wherever_they_stand() {
        let payload =
            object(json!({"subject": "Hi {{ name }}", "data": {"list": ["{{ n }}", 5]}, "plain": "a { b"}));
        let filled = Renderer::default().render(&payload, &object(json!({"name": "Ada", "n": 3}))).unwrap();
        assert_eq!(
            Json::from(filled),
            json!({"subject": "Hi Ada", "data": {"list": ["3", 5]}, "plain": "a { b"})
        );
    }

    #[test]
    fn conditions_loops_and_filters_work() {
        let source = "{% for item in items %}{{ loop.index }}:{{ item.name|upper }} {% endfor %}{{ tags|join(', ') }}{% if vip %}!{% endif %}";
        let data = json!({"items": [{"name": "a"}, {"name": "b"}], "tags": ["x", "y"], "vip": true});
        assert!(Renderer::default().check(&object(json!({ "body": source }))).is_empty());
        assert_eq!(rendered(source, data).unwrap(), "1:A 2:B x, y!");
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
            let wrong = Renderer::default().check(&object(json!({ "body": source })));
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
