//! What rules ask for, with several configurations.

use super::*;
use crate::domain::diagnosis::rules;
use nsys_contract::config::Compression;
use std::time::Duration;

/// Nothing known, what is shipped, and stacks that were tuned already, up to every limit.
pub(crate) fn configurations() -> Vec<CurrentSettings> {
    let shipped = CurrentSettings {
        pool_size: Some(10),
        instances: Some(1),
        workers: Some(1),
        threads: Some(0),
        cores: Some(2),
        partitions: Some(3),
        compression: Some(Compression::None),
        linger: Some(Duration::ZERO),
        notification_ttl: Some(Duration::from_secs(300)),
    };
    let tuned = CurrentSettings {
        pool_size: Some(40),
        instances: Some(3),
        workers: Some(6),
        threads: Some(4),
        cores: Some(16),
        partitions: Some(6),
        compression: Some(Compression::Zstd),
        linger: Some(Duration::from_millis(20)),
        notification_ttl: Some(Duration::from_secs(3_600)),
    };
    let most = CurrentSettings {
        pool_size: Some(1_000),
        instances: Some(64),
        workers: Some(64),
        threads: Some(16),
        cores: Some(16),
        partitions: Some(10_000),
        notification_ttl: Some(Duration::from_secs(604_800)),
        ..tuned.clone()
    };
    let least = CurrentSettings {
        pool_size: Some(1),
        workers: Some(5),
        partitions: Some(1),
        threads: Some(1),
        notification_ttl: Some(Duration::from_millis(500)),
        ..shipped.clone()
    };
    vec![CurrentSettings::default(), shipped, tuned, most, least]
}

#[test]
fn every_rule_has_a_remedy_whatever_is_set() {
    for now in configurations() {
        for rule in rules() {
            assert!(!(rule.remedies)(&now).is_empty(), "{} with {now:?}", rule.id);
        }
    }
}

/// Whether the change makes what it names larger.
fn grows(tuning: &Tuning) -> bool {
    match tuning {
        Tuning::PoolSize(shift)
        | Tuning::Partitions(shift)
        | Tuning::Workers(shift)
        | Tuning::Instances(shift)
        | Tuning::Threads(shift) => shift.grows(),
        Tuning::Linger(shift) | Tuning::NotificationTtl(shift) => shift.grows(),
        Tuning::BuildIndexes | Tuning::WarmCache { .. } | Tuning::Compression(_) => true,
    }
}

#[test]
fn a_remedy_never_takes_away_what_is_short() {
    // What these two need is less of something.
    let less = ["db-connections", "cache-evictions"];
    let mut seen = 0;
    for now in configurations() {
        for rule in rules() {
            for remedy in (rule.remedies)(&now) {
                let Some(tuning) = remedy.tuning() else { continue };
                seen += 1;
                assert_eq!(grows(tuning), !less.contains(&rule.id), "{}: {tuning} with {now:?}", rule.id);
                assert!(!tuning.is_in_place(&now), "{}: {tuning} is so already with {now:?}", rule.id);
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn what_was_done_since_is_not_taken_back() {
    let now = |pool_size| CurrentSettings { pool_size: Some(pool_size), ..CurrentSettings::default() };
    let more = Tuning::PoolSize(SettingChange { from: 10, to: 20 });
    assert!(!more.is_in_place(&now(10)));
    assert!(more.is_in_place(&now(20)) && more.is_in_place(&now(40)));
    let fewer = Tuning::PoolSize(SettingChange { from: 40, to: 20 });
    assert!(!fewer.is_in_place(&now(40)));
    assert!(fewer.is_in_place(&now(10)));
    assert!(!more.is_in_place(&CurrentSettings::default()), "what is not known is not so already");
}

#[test]
fn a_remedy_is_text_for_people_and_a_value_for_programs() {
    let tune =
        serde_json::to_value(Remedy::Tune(Tuning::PoolSize(SettingChange { from: 10, to: 20 }))).unwrap();
    assert_eq!(tune["text"], "nsys tune db --pool-size 20");
    assert_eq!(tune["change"], serde_json::json!({"what": "pool_size", "from": 10, "to": 20}));
    let advice = serde_json::to_value(Remedy::Advise("use a larger machine")).unwrap();
    assert_eq!(advice, serde_json::json!({"kind": "advise", "text": "use a larger machine"}));
    let both = [Remedy::Run(Operation::ShedReasons), Remedy::Advise("use a larger machine")];
    let shown = line(&both, |command| format!("`{command}`"));
    assert_eq!(shown, "`nsys metrics query 'sum by (reason) (shed_total)'`; use a larger machine");
}

#[test]
fn a_time_is_written_in_the_unit_that_fits() {
    let spans =
        [(5, "5ms"), (1_500, "1500ms"), (90_000, "90s"), (900_000, "15m"), (7_200_000, "2h"), (0, "0s")];
    for (millis, text) in spans {
        assert_eq!(TimeSpan(Duration::from_millis(millis)).to_string(), text);
    }
}
