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

/// How long it must hold, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hold {
    /// Now.
    Now,
    /// All of the time.
    Every(f64),
    /// On average over the time.
    Mean(f64),
}

/// So long nothing may be answered before a second without an answer counts as one in which all failed:
/// below it there may simply have been nothing due.
const SILENCE_S: f64 = 5.0;
/// A value that was missing for so long is told.
const BLIND_S: f64 = 10.0;
/// Seconds are looked at so often at best; a look may come that much late and still be of its second.
const LATE_S: f64 = 0.5;

const ERROR_RATE: &str = "error_rate";

type Reading = fn(&Sample) -> Option<f64>;

/// What a rule may name, client first where both sides measure it.
const FIELDS: [(&str, Reading); 14] = [
    // Filled in by the watcher, which knows for how long nothing was answered.
    (ERROR_RATE, error_rate),
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
            (1..=3_600).contains(&span.as_secs()).then(|| span.as_secs_f64())
        };
        let hold = match words.next() {
            None => Hold::Now,
            Some("for") => Hold::Every(span(words.next()).ok_or_else(|| wrong("for needs a duration"))?),
            Some("over") => Hold::Mean(span(words.next()).ok_or_else(|| wrong("over needs a duration"))?),
            Some(_) => return Err(wrong("for or over is expected")),
        };
        if words.next().is_some() {
            return Err(wrong("there is text after its end"));
        }
        Ok(Self { text: text.trim().to_owned(), input, above, bound, hold })
    }

    const fn seconds(&self) -> f64 {
        match self.hold {
            Hold::Now => 0.0,
            Hold::Every(seconds) | Hold::Mean(seconds) => seconds,
        }
    }

    fn crossed(&self, value: f64) -> bool {
        if self.above { value > self.bound } else { value < self.bound }
    }
}

/// What one rule has seen.
#[derive(Clone, Debug)]
struct Watched {
    rule: StopRule,
    /// Seconds since the epoch, and the value there; of the time the rule looks at.
    values: VecDeque<(f64, Option<f64>)>,
    /// Since when the value has been missing.
    missing_since: Option<f64>,
    /// When the rule saw its first second.
    began: Option<f64>,
    reported: bool,
}

impl Watched {
    const fn new(rule: StopRule) -> Self {
        Self { rule, values: VecDeque::new(), missing_since: None, began: None, reported: false }
    }

    fn see(&mut self, at_s: f64, value: Option<f64>) {
        self.began.get_or_insert(at_s);
        self.missing_since = match value {
            Some(_) => None,
            None => self.missing_since.or(Some(at_s)),
        };
        self.values.push_back((at_s, value));
        let from = at_s - self.rule.seconds() + LATE_S;
        while self.values.len() > 1 && self.values.front().is_some_and(|(at_s, _)| *at_s <= from) {
            self.values.pop_front();
        }
    }

    /// What the values of the last seconds say. Seconds are those of the clock, however often there was a
    /// look; a missing value never stops anything, and more than half of them missing proves nothing.
    fn verdict(&self) -> Option<f64> {
        let (now_s, newest) = *self.values.back()?;
        let newest = newest?;
        let known: Vec<_> = self.values.iter().filter_map(|(_, value)| *value).collect();
        // A second is over when the next look comes: looks at 0, 1, …, 9 are ten seconds.
        let seen_s = now_s - self.began? + 1.0 + LATE_S;
        if seen_s < self.rule.seconds() || known.len() * 2 < self.values.len() {
            return None;
        }
        match self.rule.hold {
            Hold::Now => self.rule.crossed(newest).then_some(newest),
            Hold::Every(_) => known.iter().all(|value| self.rule.crossed(*value)).then_some(newest),
            Hold::Mean(_) => {
                let mean = known.iter().sum::<f64>() / known.len() as f64;
                self.rule.crossed(mean).then_some(mean)
            }
        }
    }

    /// For how long the value has been missing, once, when it is long enough to be told.
    fn blind(&mut self, at_s: f64) -> Option<String> {
        let missing_s = at_s - self.missing_since?;
        if self.reported || missing_s < BLIND_S.max(self.rule.seconds()) {
            return None;
        }
        self.reported = true;
        Some(format!(
            "{}: its value was not available for {missing_s:.0} s, so it stops nothing",
            self.rule.text
        ))
    }
}

/// Watches the seconds of a level.
#[derive(Clone, Debug, Default)]
pub struct Watcher {
    rules: Vec<Watched>,
    /// When something was answered last, or the load was first seen.
    answered_s: Option<f64>,
    blind: Vec<String>,
}

impl Watcher {
    /// A watcher that has seen nothing.
    #[must_use]
    pub fn new(rules: Vec<StopRule>) -> Self {
        Self { rules: rules.into_iter().map(Watched::new).collect(), ..Self::default() }
    }

    /// The expressions that Prometheus must be asked, in order.
    pub fn expressions(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|one| match &one.rule.input {
            Input::PromQl(expression) => Some(expression.as_str()),
            Input::Field(_) => None,
        })
    }

    /// Looks at one second; `answers` are those to [`Watcher::expressions`]. Answers why the level must
    /// stop, if it must.
    pub fn observe(&mut self, sample: &Sample, answers: &[Option<f64>]) -> Option<String> {
        let mut answers = answers.iter().copied();
        let failing = self.error_rate(sample);
        let mut reason = None;
        for one in &mut self.rules {
            let value = match &one.rule.input {
                Input::PromQl(_) => answers.next().flatten(),
                Input::Field(name) if *name == ERROR_RATE => failing,
                Input::Field(name) => {
                    FIELDS.iter().find(|(known, _)| known == name).and_then(|(_, read)| read(sample))
                }
            };
            one.see(sample.at_s, value);
            if let (None, Some(value)) = (&reason, one.verdict()) {
                reason = Some(format!("{} ({value:.2})", one.rule.text));
            }
            self.blind.extend(one.blind(sample.at_s));
        }
        reason
    }

    /// Rules that could not be judged for so long that it must be told, since the last call.
    pub fn blind(&mut self) -> Vec<String> {
        std::mem::take(&mut self.blind)
    }

    /// The share of failed requests. A service that takes requests and never answers has none: nothing
    /// ends. When nothing was answered for a while although the load runs, everything fails.
    fn error_rate(&mut self, sample: &Sample) -> Option<f64> {
        let rate = sample.client_rps?;
        let since = *self.answered_s.get_or_insert(sample.at_s);
        if rate > 0.0 {
            self.answered_s = Some(sample.at_s);
            return error_rate(sample);
        }
        // Before the load runs, and where hardly anything is due, silence means nothing.
        let due = sample.planned_rps.is_none_or(|planned| planned * SILENCE_S >= 1.0);
        (due && sample.at_s - since >= SILENCE_S).then_some(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The look at which a rule stops, of values that were looked at every `step_s` seconds.
    fn stops_at(rule: &str, step_s: f64, values: &[Option<f64>]) -> Option<usize> {
        let mut watcher = Watcher::new(vec![StopRule::parse(rule).unwrap()]);
        values.iter().enumerate().position(|(index, value)| {
            let at_s = 1_000.0 + index as f64 * step_s;
            watcher.observe(&Sample { at_s, client_p99_ms: *value, ..Sample::default() }, &[]).is_some()
        })
    }

    fn watch(rule: &str, values: &[Option<f64>]) -> Option<usize> {
        stops_at(rule, 1.0, values)
    }

    #[test]
    fn for_wants_every_second_and_over_the_mean() {
        let values = [Some(10.0), Some(300.0), Some(10.0), Some(300.0), Some(300.0)];
        assert_eq!(watch("p99_ms > 100 for 2s", &values), Some(4));
        assert_eq!(watch("p99_ms > 100 over 2s", &values), Some(1));
        assert_eq!(watch("p99_ms > 100", &values), Some(1));
    }

    #[test]
    fn ten_seconds_are_ten_seconds_however_often_was_looked() {
        let hot = [Some(300.0); 60];
        assert_eq!(stops_at("p99_ms > 100 for 10s", 1.0, &hot), Some(9));
        // Ten looks of four seconds each would be forty.
        assert_eq!(stops_at("p99_ms > 100 for 10s", 4.0, &hot), Some(3));
        assert_eq!(stops_at("p99_ms > 100 for 10s", 0.5, &hot), Some(17));
    }

    #[test]
    fn a_missing_value_stops_nothing_and_one_among_others_hides_nothing() {
        assert_eq!(watch("p99_ms < 100 for 2s", &[None, None, None]), None);
        assert_eq!(watch("p99_ms > 100 for 4s", &[Some(200.0), None, None, None, Some(200.0)]), None);
        assert_eq!(watch("p99_ms > 100 for 4s", &[Some(200.0), None, Some(200.0), Some(200.0)]), Some(3));
    }

    /// Seconds of a service that answers and then hangs; planned at this rate.
    fn hang(rule: &str, planned: Option<f64>, seconds: u32) -> (Option<String>, Vec<String>) {
        let mut watcher = Watcher::new(vec![StopRule::parse(rule).unwrap()]);
        let mut blind = Vec::new();
        for second in 0..seconds {
            let rate = if second < 3 { 50.0 } else { 0.0 };
            let at_s = f64::from(second);
            let one = Sample {
                at_s,
                planned_rps: planned,
                client_rps: Some(rate),
                client_errors_per_s: Some(0.0),
                ..Sample::default()
            };
            if let Some(reason) = watcher.observe(&one, &[]) {
                return (Some(reason), blind);
            }
            blind.extend(watcher.blind());
        }
        (None, blind)
    }

    #[test]
    fn a_service_that_never_answers_fails() {
        let rule = "error_rate > 0.9 for 30s";
        assert!(hang(rule, Some(50.0), 40).0.is_some_and(|reason| reason.contains("(1.00)")));
        assert!(hang(rule, None, 40).0.is_some(), "of the closed model too");
        assert_eq!(hang(rule, Some(0.1), 60).0, None, "hardly anything is due");
        assert_eq!(hang(rule, Some(50.0), 12).0, None, "it is too early");
    }

    #[test]
    fn a_rule_whose_value_cannot_be_had_is_told_once() {
        let (stopped, blind) = hang("p99_ms > 2000 for 5s", Some(50.0), 60);
        assert_eq!(stopped, None);
        assert_eq!(blind.len(), 1);
        assert!(
            blind[0].starts_with("p99_ms > 2000 for 5s: its value was not available for 10 s"),
            "{blind:?}"
        );
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
            ("p99_ms > 1 for", "for needs a duration"),
            ("p99_ms > 1 for 10s now", "after its end"),
            ("promql(up > 1", "not closed"),
        ] {
            let said = StopRule::parse(text).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
