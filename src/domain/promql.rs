//! PromQL as a type. A series is only named through a [`Scope`], so no expression can be made that lacks
//! the selector of the stack, and a window only through one, so none is shorter than it takes to be true.

mod selector;
mod service;

pub use selector::Selector;
pub use service::ServiceQueries;

use std::fmt;
use std::ops::{Add, Div, Mul, Sub};
use std::time::Duration;

/// Scrapes that a window holds at least: a rate needs two, and one of the others may be late or lost.
pub const FEWEST_SCRAPES: u64 = 4;

/// Which series belong to a stack, and how often they are scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    selector: Selector,
    interval: Duration,
}

/// What the targets of the service carry, on every runtime.
pub const ROLES: &str = "app|worker";

/// Seconds that a rate, a mean or a percentile is about, up to the instant it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RangeWindow(u64);

impl RangeWindow {
    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }
}

impl Scope {
    /// The series that fit `selector`, scraped each `interval`.
    #[must_use]
    pub const fn new(selector: Selector, interval: Duration) -> Self {
        Self { selector, interval }
    }

    /// Which series are meant.
    #[must_use]
    pub const fn selector(&self) -> &Selector {
        &self.selector
    }

    /// Time between two scrapes.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// The series of a metric that belong to the stack.
    #[must_use]
    pub fn metric(&self, name: &str) -> ScopedMetric {
        ScopedMetric { name: name.to_owned(), selector: self.selector.clone(), fresh: self.shortest() }
    }

    /// The same, of the replicas of the service alone.
    #[must_use]
    pub fn replicas(&self, name: &str) -> ScopedMetric {
        self.metric(name).like("role", ROLES)
    }

    /// The shortest window that is true.
    #[must_use]
    pub fn shortest(&self) -> RangeWindow {
        let millis = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX);
        RangeWindow(millis.saturating_mul(FEWEST_SCRAPES).div_ceil(1_000).max(FEWEST_SCRAPES))
    }

    /// A window of so many seconds, or longer where scrapes are too far apart for that.
    #[must_use]
    pub fn at_least(&self, seconds: u64) -> RangeWindow {
        self.shortest().max(RangeWindow(seconds))
    }

    /// A window of exactly so many seconds.
    ///
    /// # Errors
    /// When too few scrapes lie in it to say anything; the text says so.
    pub fn exactly(&self, seconds: u64) -> Result<RangeWindow, String> {
        if RangeWindow(seconds) >= self.shortest() {
            return Ok(RangeWindow(seconds));
        }
        Err(format!(
            "{FEWEST_SCRAPES} scrapes are needed, one each {} s, and the window has {seconds} s",
            self.interval.as_secs_f64()
        ))
    }

    /// Of how many scrapes of its targets, of those that were due, Prometheus got an answer: the answers of
    /// the worst target, times the share of scrapes that Prometheus made at all.
    #[must_use]
    pub fn scraped_share(&self, window: RangeWindow) -> Promql {
        let due = (window.0 as f64 / self.interval.as_secs_f64()).max(1.0);
        let up = self.metric("up");
        // One scrape may lie just outside of the window, and a target may be scraped less often than others.
        let made = (up.count_over(window).max() + Promql::number(1.0)) / Promql::number(due);
        up.mean_over(window).min() * made.at_most(1.0)
    }

    /// Targets that Prometheus scraped both when the window began and when it ended. No series: there are
    /// none, and a rate over the window would be spread over time in which nobody looked.
    ///
    /// Prometheus takes a counter to have gone on as before for a tenth more than the distance of its
    /// samples, and for half of it beyond. So a rate is off by one scrape at most, or by 2 per cent.
    #[must_use]
    pub fn seen_at_both_ends(&self, window: RangeWindow) -> Promql {
        let interval = self.interval.as_millis() as f64;
        let edge = (window.0 as f64 * 20.0).min(interval * FEWEST_SCRAPES as f64).max(interval * 1.5).round();
        let (up, before) = (self.metric("up"), (window.0 as f64 * 1_000.0 - edge).max(0.0));
        let begin = Promql::term(format!("count_over_time({up}[{edge}ms] offset {before}ms)"));
        let end = Promql::term(format!("count_over_time({up}[{edge}ms])"));
        begin.join("and", &end).count()
    }
}

/// Series of one name that belong to a stack.
#[derive(Clone, Debug)]
pub struct ScopedMetric {
    name: String,
    selector: Selector,
    fresh: RangeWindow,
}

impl ScopedMetric {
    /// Those with this value of a label.
    #[must_use]
    pub fn is(mut self, label: &str, value: &str) -> Self {
        self.selector = self.selector.is(label, value);
        self
    }

    /// Those with another one.
    #[must_use]
    pub fn is_not(mut self, label: &str, value: &str) -> Self {
        self.selector = self.selector.is_not(label, value);
        self
    }

    /// Those whose label fits an expression.
    #[must_use]
    pub fn like(mut self, label: &str, expression: &str) -> Self {
        self.selector = self.selector.like(label, expression);
        self
    }

    /// Those whose label does not fit it.
    #[must_use]
    pub fn not_like(mut self, label: &str, expression: &str) -> Self {
        self.selector = self.selector.not_like(label, expression);
        self
    }

    /// A part of a histogram: `_sum`, `_count` or `_bucket`.
    #[must_use]
    pub fn part(mut self, suffix: &str) -> Self {
        self.name.push_str(suffix);
        self
    }

    /// The value at an instant. Prometheus repeats an old value for five minutes where it could not ask;
    /// one that is older than the shortest window is not told.
    #[must_use]
    pub fn now(&self) -> Promql {
        let seen = Promql::term(format!("present_over_time({self}[{}s])", self.fresh.0));
        Promql::term(self.to_string()).join("and", &seen)
    }

    /// When the value at an instant was measured.
    #[must_use]
    pub fn timestamp(&self) -> Promql {
        Promql::term(format!("timestamp({self})"))
    }

    /// Growth of a counter per second. Where it begins anew with a restart is seen.
    #[must_use]
    pub fn rate(&self, window: RangeWindow) -> Promql {
        self.over("rate", window)
    }

    /// Mean of a gauge.
    #[must_use]
    pub fn mean_over(&self, window: RangeWindow) -> Promql {
        self.over("avg_over_time", window)
    }

    /// Highest value of a gauge.
    #[must_use]
    pub fn max_over(&self, window: RangeWindow) -> Promql {
        self.over("max_over_time", window)
    }

    /// Number of samples.
    #[must_use]
    pub fn count_over(&self, window: RangeWindow) -> Promql {
        self.over("count_over_time", window)
    }

    /// How often a counter began anew.
    #[must_use]
    pub fn resets(&self, window: RangeWindow) -> Promql {
        self.over("resets", window)
    }

    /// Every sample of the last seconds, as it was scraped.
    #[must_use]
    pub fn samples(&self, seconds: u64) -> Promql {
        Promql::term(format!("{self}[{seconds}s]"))
    }

    fn over(&self, function: &str, window: RangeWindow) -> Promql {
        Promql::term(format!("{function}({self}[{}s])", window.0))
    }
}

impl fmt::Display for ScopedMetric {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.selector.is_empty() {
            return out.write_str(&self.name);
        }
        write!(out, "{}{{{}}}", self.name, self.selector)
    }
}

/// An expression. It is made from series of a [`Scope`], or is the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promql {
    text: String,
    /// Whether it wants parentheses as an operand.
    is_compound: bool,
}

impl Promql {
    /// An expression that the user wrote, asked as it stands.
    #[must_use]
    pub fn of_user(text: &str) -> Self {
        Self { text: text.to_owned(), is_compound: true }
    }

    /// A number.
    #[must_use]
    pub fn number(value: f64) -> Self {
        Self::term(value.to_string())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The sum of all series.
    #[must_use]
    pub fn sum(self) -> Self {
        self.call("sum")
    }

    /// A sum for each value of a label.
    #[must_use]
    pub fn sum_by(self, label: &str) -> Self {
        self.call(&format!("sum by ({label}) "))
    }

    /// The highest of all series.
    #[must_use]
    pub fn max(self) -> Self {
        self.call("max")
    }

    /// The lowest of all series.
    #[must_use]
    pub fn min(self) -> Self {
        self.call("min")
    }

    /// The number of series.
    #[must_use]
    pub fn count(self) -> Self {
        self.call("count")
    }

    /// The number of series for each set of values of some labels.
    #[must_use]
    pub fn count_by(self, labels: &[&str]) -> Self {
        self.call(&format!("count by ({}) ", labels.join(", ")))
    }

    /// Each value, or `most` where it is higher.
    #[must_use]
    pub fn at_most(self, most: f64) -> Self {
        Self::term(format!("clamp_max({}, {most})", self.text))
    }

    /// A quantile of rates of buckets, in the unit of the buckets.
    #[must_use]
    pub fn quantile(self, q: f64) -> Self {
        Self::term(format!("histogram_quantile({q}, {})", self.sum_by("le").text))
    }

    /// Divided, instance by instance.
    #[must_use]
    pub fn per_instance(self, other: &Self) -> Self {
        self.join("/ on (instance)", other)
    }

    /// The values above 0.
    #[must_use]
    pub fn positive(self) -> Self {
        self.join(">", &Self::number(0.0))
    }

    /// The values that are 0.
    #[must_use]
    pub fn zero(self) -> Self {
        self.join("==", &Self::number(0.0))
    }

    /// These series, and those of another expression whose labels are not among them.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        self.join("or", other)
    }

    /// With a label that says which series it is: `value`, where `$1` stands for what `source` holds.
    #[must_use]
    pub fn labelled(self, label: &str, value: &str, source: &str) -> Self {
        let expression = if source.is_empty() { "" } else { "(.+)" };
        Self::term(format!(
            "label_replace({}, \"{label}\", \"{value}\", \"{source}\", \"{expression}\")",
            self.text
        ))
    }

    fn term(text: String) -> Self {
        Self { text, is_compound: false }
    }

    fn call(self, function: &str) -> Self {
        Self::term(format!("{function}({})", self.text))
    }

    fn join(self, sign: &str, other: &Self) -> Self {
        let operand = |one: &Self| if one.is_compound { format!("({})", one.text) } else { one.text.clone() };
        Self { text: format!("{} {sign} {}", operand(&self), operand(other)), is_compound: true }
    }
}

impl fmt::Display for Promql {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

macro_rules! operators {
    ($($name:ident $method:ident $sign:literal),+) => {
        $(impl $name for Promql {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                self.join($sign, &other)
            }
        })+
    };
}

operators!(Add add "+", Sub sub "-", Mul mul "*", Div div "/");

/// How far apart samples were scraped, of the target that is scraped least often: the middle of the
/// distances between its samples. Absent when no target has two.
#[must_use]
pub fn interval_of<'a>(targets: impl Iterator<Item = &'a [(f64, f64)]>) -> Option<Duration> {
    let of_target = |points: &[(f64, f64)]| {
        let mut apart: Vec<f64> = points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        apart.sort_unstable_by(f64::total_cmp);
        apart.get(apart.len() / 2).copied()
    };
    // Scrapes jitter by milliseconds; intervals are configured in tenths of a second at the finest.
    let longest = targets.filter_map(of_target).max_by(f64::total_cmp)?;
    Duration::try_from_secs_f64((longest * 10.0).round().max(1.0) / 10.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(seconds: u64) -> Scope {
        Scope::new(Selector::parse("stack=\"a\"").unwrap(), Duration::from_secs(seconds))
    }

    #[test]
    fn every_series_carries_the_selector_and_what_is_asked_beside() {
        let metric = scope(1).metric("x_total").is("topic", "n");
        let rate = metric.rate(scope(1).at_least(30)).sum();
        assert_eq!(rate.as_str(), "sum(rate(x_total{stack=\"a\",topic=\"n\"}[30s]))");
        assert_eq!(
            metric.now().as_str(),
            "x_total{stack=\"a\",topic=\"n\"} and present_over_time(x_total{stack=\"a\",topic=\"n\"}[4s])"
        );
        let all = Scope::new(Selector::default(), Duration::from_secs(1));
        assert_eq!(all.metric("x").timestamp().as_str(), "timestamp(x)");
    }

    #[test]
    fn an_operand_that_has_operators_stands_in_parentheses() {
        let number = Promql::number;
        let share = number(1.0) - (number(2.0) + number(3.0)) / number(4.0);
        assert_eq!(share.as_str(), "1 - ((2 + 3) / 4)");
    }

    #[test]
    fn a_window_holds_four_scrapes_or_is_none() {
        for (interval, shortest) in [(1, 4), (5, 20), (15, 60), (60, 240)] {
            let scope = scope(interval);
            assert_eq!(scope.shortest().seconds(), shortest);
            assert_eq!(scope.at_least(1).seconds(), shortest);
            assert_eq!(scope.at_least(1_000).seconds(), 1_000);
            assert!(scope.exactly(shortest).is_ok());
            assert!(scope.exactly(shortest - 1).unwrap_err().contains("scrapes are needed"));
        }
        let fast = Scope::new(Selector::default(), Duration::from_millis(250));
        assert_eq!(fast.shortest().seconds(), 4);
    }

    #[test]
    fn the_interval_is_that_of_the_slowest_target_whatever_gaps_it_has() {
        let every = |seconds: f64| (0..8).map(|n| (f64::from(n) * seconds + 0.004, 1.0)).collect::<Vec<_>>();
        let (fast, mut slow) = (every(1.0), every(15.0));
        slow.remove(3);
        assert_eq!(interval_of([fast.as_slice(), &slow].into_iter()), Some(Duration::from_secs(15)));
        assert_eq!(interval_of([&fast[..1]].into_iter()), None);
        assert_eq!(interval_of(std::iter::empty()), None);
    }
}
