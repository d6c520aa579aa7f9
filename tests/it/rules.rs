//! Prometheus' rules, checked by its own tool.

use std::path::Path;
use std::process::Command;

#[test]
fn the_rules_hold_on_series_made_for_them() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose/prometheus");
    let promtool = |args: &[&str]| {
        let output =
            Command::new("promtool").args(args).current_dir(&rules).output().expect("promtool starts");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    };
    promtool(&["check", "rules", "recording.rules.yml", "alerts.rules.yml"]);
    promtool(&["test", "rules", "rules_test.yml"]);
}
