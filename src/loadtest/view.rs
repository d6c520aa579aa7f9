//! A level in progress, in words.

use crate::domain::level::Level;
use crate::domain::run::Sample;
use crate::domain::stream::RunPhase;
use crate::render::format;

/// What is known of a level while it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct LevelProgress<'a> {
    /// What is offered.
    pub(super) level: &'a Level,
    /// What is done.
    pub(super) phase: RunPhase,
    /// Seconds until the end of the level.
    pub(super) left_s: u64,
    /// The newest sample.
    pub(super) sample: &'a Sample,
}

/// The load, the stack and the generator, each in one line.
pub(super) fn lines(progress: &LevelProgress<'_>) -> [String; 3] {
    let one = progress.sample;
    let pct = |value: Option<f64>| format::or_missing(value, |value| format!("{value:.0} %"));
    let ms = |value: Option<f64>| format::or_missing(value, format::millis);
    let failed = one.client_errors_per_s.or(one.errors_per_s);
    let load = format!(
        "{}, {} left; {} of {}, p50 {}, p95 {}, p99 {}, errors {}",
        progress.phase.as_str(),
        format::duration(std::time::Duration::from_secs(progress.left_s)),
        format::or_missing(one.client_rps.or(one.rate_rps), format::rate),
        one.planned_rps.map_or_else(|| progress.level.load(), format::rate),
        ms(one.client_p50_ms.or(one.p50_ms)),
        ms(one.client_p95_ms.or(one.p95_ms)),
        ms(one.client_p99_ms.or(one.p99_ms)),
        format::or_missing(failed, format::rate),
    );
    let count = |value: Option<u64>| format::or_missing(value, format::count);
    let stack = format!(
        "lag {}, service CPU {}, connections {} ({} active), machine CPU {}",
        format::or_missing(one.lag, |lag| format::count(lag.unsigned_abs())),
        pct(one.service_cpu_pct),
        count(one.db_connections),
        count(one.db_active),
        pct(one.machine_cpu_pct),
    );
    let generator = format!(
        "CPU {} of a core, {}, not started {}, probe {}",
        pct(one.generator_cpu_pct),
        format::or_missing(one.generator_rss_mb, |mb| format!("{mb:.0} MiB")),
        format::or_missing(one.dropped_per_s, format::rate),
        ms(one.control_ms),
    );
    [load, stack, generator]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_a_dash_and_never_a_zero() {
        let level = Level::open(500, 60);
        let empty = Sample::default();
        let progress = LevelProgress { level: &level, phase: RunPhase::Steady, left_s: 43, sample: &empty };
        let [load, stack, generator] = lines(&progress);
        assert_eq!(load, "steady, 43s left; – of 500/s, p50 –, p95 –, p99 –, errors –");
        assert!(stack.starts_with("lag –, service CPU –"), "{stack}");
        assert!(generator.starts_with("CPU – of a core"), "{generator}");
    }

    #[test]
    fn the_client_s_view_comes_first() {
        let level = Level::open(500, 60);
        let sample = Sample {
            client_rps: Some(498.0),
            rate_rps: Some(300.0),
            client_p95_ms: Some(12.0),
            lag: Some(1_234),
            ..Sample::default()
        };
        let progress = LevelProgress { level: &level, phase: RunPhase::Warmup, left_s: 3, sample: &sample };
        let [load, stack, _] = lines(&progress);
        assert!(load.contains("498/s of 500/s") && load.contains("p95 12.0 ms"), "{load}");
        assert!(stack.starts_with("lag 1,234"), "{stack}");
    }
}
