//! Stop rules: when a level is not worth going on with. `p99_ms > 2000 for 10s`.

use super::run::Sample;
use std::collections::VecDeque;

/// A rule as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct StopRule {
    /// Its text.
    pub text: String,
    /// What is looked at.
    pub input: Input,
    above: bool,
    bound: f64,
    hold: Hold,
}

/// What a rule looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A value of the second, by its name.
    Field(&'static str),
    /// An expression for Prometheus.
    PromQl(String),
}

/// How long it must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hold {
    /// In every second of so many.
    Every(usize),
    /// On average over so many seconds.
    Mean(usize),
}

type Reading = fn(&Sample) -> Option<f64>;

/// What a rule may name, client first where both sides measure it.
const FIELDS: [(&str, Reading); 14] = [
    ("error_rate", error_rate),
    ("rate_rps", |one| one.client_rps.or(one.rate_rps)),
    ("p50_ms", |one| one.client_p50_ms.or(one.p50_ms)),
    ("p95_ms", |one| one.client_p95_ms.or(one.p95_ms)),
    ("p99_ms", |one| one.client_p99_ms.or(one.p99_ms)),
    ("dropped_per_s", |one| one.dropped_per_s),
    ("control_ms", |one| one.control_ms),
    ("lag", |one| one.lag.map(|lag| lag as f64)),
    ("service_cpu_pct", |one| one.service_cpu_pct),
    ("service_memory_mb", |one| one.service_rss_mb),
    ("machine_cpu_pct", |one| one.machine_cpu_pct),
    ("generator_cpu_pct", |one| one.generator_cpu_pct),
    ("db_connections", |one| one.db_connections.map(|count| count as f64)),
    ("db_lock_waits", |one| one.db_lock_waits.map(|count| count as f64)),
];

fn error_rate(one: &Sample) -> Option<f64> {
    let rate = one.client_rps.filter(|rate| *rate > 0.0)?;
    one.client_errors_per_s.map(|errors| errors / rate)
}

impl StopRule {
    /// Reads `NAME > NUMBER`, with `for 10s` (in every second) or `over 30s` (on average) behind it.
    /// `promql(EXPRESSION)` may stand for the name.
    ///
    /// # Errors
    /// When the text has another form; the message says which.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "stop rule {text:?}: {why}; write for example \"p99_ms > 2000 for 10s\", or \"promql(up) < 1 over 30s\""
            )
        };
        let (input, rest) = if let Some(inner) = text.trim().strip_prefix("promql(") {
            let end = inner.rfind(')').ok_or_else(|| wrong("a parenthesis is not closed"))?;
            (Input::PromQl(inner[..end].trim().to_owned()), inner[end + 1..].trim())
        } else {
            let (name, rest) = text.trim().split_once(' ').ok_or_else(|| wrong("it has no comparison"))?;
            let field = FIELDS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
                let names: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
                wrong(&format!("there is no {name}; there are {}", names.join(", ")))
            })?;
            (Input::Field(field.0), rest.trim())
        };
        let mut words = rest.split_whitespace();
        let above = match words.next() {
            Some(">") => true,
            Some("<") => false,
            _ => return Err(wrong("> or < is expected")),
        };
        let bound = words.next().and_then(|word| word.parse::<f64>().ok()).filter(|bound| bound.is_finite());
        let bound = bound.ok_or_else(|| wrong("a number is expected"))?;
        let span = |word: Option<&str>| {
            let span: jiff::SignedDuration = word?.parse().ok()?;
            usize::try_from(span.as_secs()).ok().filter(|seconds| (1..=3_600).contains(seconds))
        };
        let hold = match words.next() {
            None => Hold::Every(1),
            Some("for") => Hold::Every(span(words.next()).ok_or_else(|| wrong("for wants a time"))?),
            Some("over") => Hold::Mean(span(words.next()).ok_or_else(|| wrong("over wants a time"))?),
            Some(_) => return Err(wrong("for or over is expected")),
        };
        if words.next().is_some() {
            return Err(wrong("there is something behind its end"));
        }
        Ok(Self { text: text.trim().to_owned(), input, above, bound, hold })
    }

    const fn seconds(&self) -> usize {
        match self.hold {
            Hold::Every(seconds) | Hold::Mean(seconds) => seconds,
        }
    }

    fn crossed(&self, value: f64) -> bool {
        if self.above { value > self.bound } else { value < self.bound }
    }

    /// What the values of the last seconds say; a missing value never stops anything.
    fn verdict(&self, values: &VecDeque<Option<f64>>) -> Option<f64> {
        if values.len() < self.seconds() {
            return None;
        }
        let known: Vec<_> = values.iter().copied().collect::<Option<_>>()?;
        match self.hold {
            Hold::Every(_) => {
                known.iter().all(|value| self.crossed(*value)).then(|| known.last().copied())?
            }
            Hold::Mean(_) => {
                let mean = known.iter().sum::<f64>() / known.len() as f64;
                self.crossed(mean).then_some(mean)
            }
        }
    }
}

/// Watches the seconds of a level.
#[derive(Clone, Debug, Default)]
pub struct Watcher {
    rules: Vec<(StopRule, VecDeque<Option<f64>>)>,
}

impl Watcher {
    /// A watcher that has seen nothing.
    #[must_use]
    pub fn new(rules: Vec<StopRule>) -> Self {
        Self { rules: rules.into_iter().map(|rule| (rule, VecDeque::new())).collect() }
    }

    /// The expressions that Prometheus must be asked, in order.
    pub fn expressions(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|(rule, _)| match &rule.input {
            Input::PromQl(expression) => Some(expression.as_str()),
            Input::Field(_) => None,
        })
    }

    /// Looks at one second; `answers` are those to [`Watcher::expressions`]. Answers why the level must
    /// stop, if it must.
    pub fn observe(&mut self, sample: &Sample, answers: &[Option<f64>]) -> Option<String> {
        let mut answers = answers.iter().copied();
        let mut reason = None;
        for (rule, values) in &mut self.rules {
            let value = match &rule.input {
                Input::PromQl(_) => answers.next().flatten(),
                Input::Field(name) => {
                    FIELDS.iter().find(|(known, _)| known == name).and_then(|(_, read)| read(sample))
                }
            };
            values.push_back(value);
            while values.len() > rule.seconds() {
                values.pop_front();
            }
            if let (None, Some(value)) = (&reason, rule.verdict(values)) {
                reason = Some(format!("{} ({value:.2})", rule.text));
            }
        }
        reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(rule: &str, values: &[Option<f64>]) -> Option<usize> {
        let mut watcher = Watcher::new(vec![StopRule::parse(rule).unwrap()]);
        values.iter().position(|value| {
            let sample = Sample { client_p99_ms: *value, ..Sample::default() };
            watcher.observe(&sample, &[]).is_some()
        })
    }

    #[test]
    fn for_wants_every_second_and_over_the_mean() {
        let values = [Some(10.0), Some(300.0), Some(10.0), Some(300.0), Some(300.0)];
        assert_eq!(watch("p99_ms > 100 for 2s", &values), Some(4));
        assert_eq!(watch("p99_ms > 100 over 2s", &values), Some(1));
        assert_eq!(watch("p99_ms > 100", &values), Some(1));
    }

    #[test]
    fn a_missing_value_stops_nothing() {
        assert_eq!(watch("p99_ms > 100 for 2s", &[Some(200.0), None, Some(200.0)]), None);
        assert_eq!(watch("p99_ms < 100 for 2s", &[None, None, None]), None);
    }

    #[test]
    fn promql_is_asked_and_its_answers_are_matched() {
        let rules = ["promql(sum(rate(x[5s]))) > 5", "lag > 3"].map(|text| StopRule::parse(text).unwrap());
        let mut watcher = Watcher::new(rules.into());
        assert_eq!(watcher.expressions().collect::<Vec<_>>(), ["sum(rate(x[5s]))"]);
        let sample = Sample { lag: Some(1), ..Sample::default() };
        assert_eq!(watcher.observe(&sample, &[Some(4.0)]), None);
        assert!(watcher.observe(&sample, &[Some(6.0)]).unwrap().contains("(6.00)"));
    }

    #[test]
    fn a_rule_that_cannot_be_read_says_why() {
        for (text, why) in [
            ("p99 > 1", "there is no p99"),
            ("p99_ms = 1", "> or <"),
            ("p99_ms > x", "a number"),
            ("p99_ms > 1 for", "for wants a time"),
            ("p99_ms > 1 for 10s now", "behind its end"),
            ("promql(up > 1", "not closed"),
        ] {
            let said = StopRule::parse(text).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
