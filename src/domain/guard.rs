//! Whether the load generator, not the service, was the limit of a level. Pure.

use super::run::{LevelResult, Sample};
use crate::measured::Measured;

/// Busy virtual users below this share of all are no reason for a lack of requests.
const BUSY_SHARE: f64 = 0.8;
/// Answer times this much above those of the control request are the generator's own.
const CONTROL_FACTOR: f64 = 3.0;
/// Smaller differences to the control request mean nothing, in ms.
const CONTROL_NOISE_MS: f64 = 20.0;
/// A generator whose threads wait for a processor this share of their running time is starved, per cent.
const WAIT_PCT: f64 = 50.0;
/// … and beyond this share no slowness of the service is an excuse.
const STARVED_PCT: f64 = 75.0;
/// A native generator that sends later than this at the 99th percentile has no time, in ms.
const LATE_MS: f64 = 10.0;
/// … and only when that is more than this share of the 99th percentile it tells.
const LATE_SHARE: f64 = 0.1;

/// The bounds, apart from where they are configured.
#[derive(Clone, Copy, Debug)]
pub struct GeneratorBounds {
    /// CPU above which it was the limit, per cent of one core.
    pub cpu_pct: f64,
    /// Share of the planned requests that must be offered.
    pub offered_share: f64,
    /// Requests per second and core above which its own time is in the answer times.
    pub rate_per_cpu: f64,
}

/// The share of a core that the generator may use, given how many it may run on: one that is held on
/// one core is out of breath sooner.
fn cpu_limit(bounds: GeneratorBounds, cpus: Option<f64>) -> f64 {
    cpus.map_or(bounds.cpu_pct, |cpus| bounds.cpu_pct.min(85.0 * cpus))
}

/// Whether this second was offered in full; unknown where it was not measured.
#[must_use]
pub fn short(sample: &Sample, bounds: GeneratorBounds) -> Option<bool> {
    // Failed requests are among those of the client.
    let (planned, got) = (sample.planned_rps?, sample.client_rps?);
    Some(got < planned * bounds.offered_share)
}

/// Why the generator was the limit; empty when it was not.
#[must_use]
pub fn reasons(level: &LevelResult, bounds: GeneratorBounds) -> Vec<String> {
    let (generator, engine) = (&level.generator, name(level));
    let mut reasons = Vec::new();
    let limit = cpu_limit(bounds, generator.cpus.value());
    if let Some(cpu) = generator.cpu_pct.value().filter(|cpu| *cpu > limit) {
        let held = generator.cpus.value().map_or_else(String::new, |cpus| format!(" on {cpus} allowed"));
        reasons.push(format!("{engine} used {cpu:.0} % of a core{held}, more than {limit:.0} %"));
    }
    // Being late is part of the answer time; beside answers that are slow by themselves it is nothing.
    let counts = |late: f64| level.latency_ms.p99.is_none_or(|slow| late > slow * LATE_SHARE);
    if let Some(late) = generator.late_p99_ms.value().filter(|late| *late > LATE_MS && counts(*late)) {
        reasons.push(format!(
            "{engine} sent one request in a hundred {late:.0} ms late or later although a connection was free"
        ));
    }
    // Where that is not known it is one: the generator is named too early then, never too late.
    let cpus = match generator.cpus {
        Measured::Value(cpus) => cpus,
        Measured::Missing(_) | Measured::NotApplicable(_) => 1.0,
    };
    if level.throughput_rps > bounds.rate_per_cpu * cpus {
        reasons.push(format!(
            "above {:.0}/s for each of {cpus} cores the answer times are in part {engine}'s own",
            bounds.rate_per_cpu
        ));
    }
    if let Some(planned) =
        planned(level).filter(|planned| level.throughput_rps < planned * bounds.offered_share)
    {
        // A service that stalls for a moment uses all of them up, and the mean does not show it: neither
        // does p99, when one request of each user is all that could be made meanwhile.
        let uses_all = |slow: f64| planned * slow / 1_000.0 >= f64::from(level.vus);
        let missing = (planned - level.throughput_rps) * level.steady_s as f64;
        let stall =
            level.latency_ms.max.is_some_and(|most| uses_all(most) && missing <= planned * most / 1_000.0);
        let spare = !stall && level.latency_ms.p99.is_none_or(|slow| !uses_all(slow));
        let idle = |busy: &f64| spare && *busy < f64::from(level.vus) * BUSY_SHARE;
        if let Some(busy) = generator.busy_vus.value().filter(idle) {
            reasons.push(format!(
                "only {:.0}/s of {planned:.0}/s were offered although {:.0} of {} virtual users were idle",
                level.throughput_rps,
                f64::from(level.vus) - busy,
                level.vus
            ));
        } else if let Some(wait) = generator.wait_pct.value().filter(|wait| *wait > WAIT_PCT)
            && generator.cpu_pct.value().is_some_and(|cpu| cpu < limit)
            && (wait > STARVED_PCT || !seen_by_service(level))
        {
            reasons.push(format!(
                "only {:.0}/s of {planned:.0}/s were offered, and {engine} waited {wait:.0} % of its time for a CPU",
                level.throughput_rps
            ));
        } else if let (Some(own), Some((whose, seen))) = (level.latency_ms.p95, seen_elsewhere(level))
            && own > seen * CONTROL_FACTOR + CONTROL_NOISE_MS
            && !waits_for_service(level, seen)
        {
            reasons.push(format!(
                "only {:.0}/s of {planned:.0}/s were offered, and answers took {own:.0} ms in {engine} while \
                 {whose} {seen:.0} ms (95th percentiles)",
                level.throughput_rps
            ));
        }
    }
    reasons
}

/// The longest answer time, in ms, that something else than the generator saw. A request beside the load
/// waits for a busy service as those of the load do, but asks no database; the service's own clock knows
/// what its handlers took, but not how long a request waited to be read.
fn seen_elsewhere(level: &LevelResult) -> Option<(&'static str, f64)> {
    let control = level.generator.control_p95_ms.value().map(|ms| ("a request beside it took", ms));
    let service = level.service.p95_ms.value().map(|ms| ("the service itself counted", ms));
    control.into_iter().chain(service).max_by(|one, two| one.1.total_cmp(&two.1))
}

/// Whether its users were busy for no longer with a request than the service was: then what came on top of
/// that was the wait for one of them, and who keeps them all busy is the service.
fn waits_for_service(level: &LevelResult, seen: f64) -> bool {
    let busy_s = level.generator.busy_vus.value().map(|busy| busy / level.throughput_rps.max(f64::EPSILON));
    busy_s.is_some_and(|busy| busy * 1_000.0 <= seen * CONTROL_FACTOR + CONTROL_NOISE_MS)
}

/// Whether the service itself knows of the slowest answers: then its callers waited for it, whatever else
/// they waited for.
fn seen_by_service(level: &LevelResult) -> bool {
    let both = level.latency_ms.p99.zip(level.service.p99_ms.value());
    both.is_some_and(|(own, seen)| own <= seen * CONTROL_FACTOR + CONTROL_NOISE_MS)
}

/// Requests per second planned over the whole measured time; absent in the closed model.
#[must_use]
pub fn planned(level: &LevelResult) -> Option<f64> {
    if level.stages.is_empty() {
        return level.target_rps.map(f64::from);
    }
    let requests: f64 =
        level.stages.iter().map(|one| f64::from(one.stage.rate) * one.stage.seconds as f64).sum();
    (level.steady_s > 0).then(|| requests / level.steady_s as f64)
}

fn name(level: &LevelResult) -> &str {
    match level.generator.engine.as_str() {
        "native" => "the native engine",
        _ => "k6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;

    const BOUNDS: GeneratorBounds =
        GeneratorBounds { cpu_pct: 150.0, offered_share: 0.95, rate_per_cpu: 4_000.0 };

    fn found(change: impl FnOnce(&mut LevelResult)) -> Vec<String> {
        let mut level = test_run(&[10.0]).levels.remove(0);
        level.generator.cpus = 2.0.into();
        level.generator.busy_vus = 3.0.into();
        change(&mut level);
        reasons(&level, BOUNDS)
    }

    #[test]
    fn an_easy_level_has_no_reason() {
        assert_eq!(found(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn a_generator_on_one_core_is_out_of_breath_sooner() {
        assert!(found(|level| level.generator.cpu_pct = 95.0.into()).is_empty());
        let held = found(|level| {
            level.generator.cpu_pct = 95.0.into();
            level.generator.cpus = 1.0.into();
        });
        assert!(held[0].contains("95 % of a core on 1 allowed, more than 85 %"), "{held:?}");
        let half = found(|level| {
            level.generator.cpu_pct = 48.0.into();
            level.generator.cpus = 0.5.into();
        });
        assert!(half[0].contains("48 % of a core on 0.5 allowed, more than 42 %"), "{half:?}");
    }

    #[test]
    fn users_that_a_stalling_service_uses_up_at_times_are_not_idle() {
        let stalls = found(|level| {
            level.throughput_rps = 300.0;
            level.latency_ms.p99 = Some(600.0);
        });
        assert!(stalls.is_empty(), "{stalls:?}");
    }

    #[test]
    fn idle_users_and_too_few_requests_are_the_generator_s_fault_and_busy_ones_are_not() {
        let idle = found(|level| level.throughput_rps = 300.0);
        assert!(idle[0].contains("300/s of 500/s"), "{idle:?}");
        let busy = found(|level| {
            level.throughput_rps = 300.0;
            level.generator.busy_vus = 49.0.into();
            level.latency_ms.p95 = Some(2_000.0);
            level.generator.control_p95_ms = 1_800.0.into();
        });
        assert!(busy.is_empty(), "{busy:?}");
    }

    #[test]
    fn slow_answers_that_a_request_beside_the_load_does_not_see_are_the_generator_s() {
        let starved = found(|level| {
            level.throughput_rps = 300.0;
            level.generator.busy_vus = 49.0.into();
            level.latency_ms.p95 = Some(2_000.0);
            level.generator.control_p95_ms = 3.0.into();
            level.service.p95_ms = 2.0.into();
        });
        assert!(starved[0].contains("a request beside it took 3 ms"), "{starved:?}");
    }

    #[test]
    fn a_service_that_knows_that_it_was_slow_is_believed_whatever_its_liveness_probe_says() {
        let slow = found(|level| {
            level.throughput_rps = 300.0;
            level.generator.busy_vus = 49.0.into();
            level.latency_ms.p95 = Some(2_000.0);
            level.generator.control_p95_ms = 3.0.into();
            level.service.p95_ms = 1_900.0.into();
        });
        assert!(slow.is_empty(), "{slow:?}");
    }

    #[test]
    fn waiting_for_a_user_that_a_slow_service_keeps_busy_is_not_the_generator_s() {
        // Ten users, 600 ms each: 17/s. What is due waits for seconds until one of them is idle.
        let slow = found(|level| {
            (level.vus, level.target_rps, level.throughput_rps) = (10, Some(50), 16.6);
            level.generator.busy_vus = 10.0.into();
            (level.latency_ms.p95, level.latency_ms.p99) = (Some(6_000.0), Some(7_000.0));
            level.service.p95_ms = 600.0.into();
        });
        assert!(slow.is_empty(), "{slow:?}");
    }

    #[test]
    fn a_generator_that_gets_no_processor_is_named() {
        let starved = found(|level| {
            level.throughput_rps = 300.0;
            level.generator.busy_vus = 49.0.into();
            level.generator.wait_pct = 80.0.into();
        });
        assert!(starved[0].contains("waited 80 % of its time"), "{starved:?}");
        let beside_a_slow_service = |wait_pct: f64| {
            found(|level| {
                level.throughput_rps = 300.0;
                level.generator.busy_vus = 49.0.into();
                level.generator.wait_pct = wait_pct.into();
                (level.latency_ms.p95, level.latency_ms.p99) = (Some(2_000.0), Some(2_500.0));
                (level.service.p95_ms, level.service.p99_ms) = (1_900.0.into(), 2_400.0.into());
            })
        };
        assert_eq!(beside_a_slow_service(60.0), Vec::<String>::new());
        assert!(!beside_a_slow_service(90.0).is_empty());
    }

    #[test]
    fn late_sending_and_a_rate_beyond_the_engine_are_named() {
        assert!(found(|level| level.generator.late_p99_ms = 40.0.into())[0].contains("40 ms late"));
        let slow = found(|level| {
            level.generator.late_p99_ms = 40.0.into();
            level.latency_ms.p99 = Some(800.0);
        });
        assert!(slow.is_empty(), "{slow:?}");
        assert!(found(|level| level.throughput_rps = 9_000.0)[0].contains("4000/s"));
    }
}
