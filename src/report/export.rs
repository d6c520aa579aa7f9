//! The judgements of a run for programs: JUnit for CI, CSV for spreadsheets.

use super::performance::status;
use super::sections::findings;
use super::summary::search_sentence;
use crate::domain::run::{Run, SearchResult};
use crate::domain::verdict::{CheckStatus, Verdict};
use crate::render::format;

/// One suite for each level, one case for each check; a level that could not be judged is an error.
#[must_use]
pub fn junit(run: &Run) -> String {
    let mut text =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}\">\n", xml(&run.id));
    for level in &run.levels {
        let count = |wanted| level.checks.iter().filter(|check| check.status == wanted).count();
        let offered = matches!(level.verdict, Verdict::Passed | Verdict::Failed | Verdict::Unknown);
        text += &format!(
            "  <testsuite name=\"level {}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" errors=\"{}\" time=\"{}\">\n",
            level.level,
            level.checks.len() + 1,
            count(CheckStatus::Fail),
            count(CheckStatus::Unknown) + count(CheckStatus::Skipped),
            usize::from(!offered),
            level.duration_s
        );
        text += &case("load was offered", (!offered).then(|| message("error", level.verdict.as_str())));
        for check in &level.checks {
            let wanted = format!("{} {} is wanted ({})", check.relation(), check.objective, check.source);
            let value = format::measured_in_words(&check.value, |value| value.to_string());
            let said = match check.status {
                CheckStatus::Pass => None,
                CheckStatus::Fail => Some(message("failure", &format!("{value}; {wanted}"))),
                CheckStatus::Unknown | CheckStatus::Skipped => {
                    Some(message("skipped", &format!("{value}; {wanted}")))
                }
            };
            text += &case(&check.metric, said);
        }
        let said = [findings(level), level.generator.reasons.clone()].concat();
        if !said.is_empty() {
            text += &format!("    <system-out>{}</system-out>\n", xml(&said.join("\n")));
        }
        text += "  </testsuite>\n";
    }
    text += &run.search.as_ref().map_or_else(String::new, searched);
    text + "</testsuites>"
}

/// A search is right when it found a rate and confirmed it.
fn searched(search: &SearchResult) -> String {
    let found = search.rate_rps.is_some() && search.confirmed;
    let sentence = search_sentence(search);
    format!(
        "  <testsuite name=\"search\" tests=\"1\" failures=\"{}\">\n{}    <system-out>{}</system-out>\n  </testsuite>\n",
        usize::from(!found),
        case("a rate was found and confirmed", (!found).then(|| message("failure", &sentence))),
        xml(&sentence)
    )
}

fn case(name: &str, said: Option<String>) -> String {
    let said = said.unwrap_or_default();
    format!("    <testcase name=\"{}\">{said}</testcase>\n", xml(name))
}

fn message(element: &str, text: &str) -> String {
    format!("<{element} message=\"{}\"/>", xml(text))
}

/// Text as text or the value of an attribute.
pub(super) fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// One line for each check of each level; an empty value was not measured.
#[must_use]
pub fn csv(run: &Run) -> String {
    let mut lines = vec!["level,vus,target_rps,metric,value,objective,status,source".to_owned()];
    for level in &run.levels {
        let rate = level.target_rps.map(|rate| rate.to_string()).unwrap_or_default();
        lines.extend(level.checks.iter().map(|check| {
            format!(
                "{},{},{rate},{},{},{},{},\"{}\"",
                level.level,
                level.vus,
                check.metric,
                check.value.value().map_or_else(String::new, |value| value.to_string()),
                check.objective,
                status(check.status),
                check.source.replace('"', "\"\"")
            )
        }));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::test_run;
    use crate::domain::verdict::ObjectiveCheck;
    use crate::measured::Measured;

    fn judged() -> Run {
        let mut run = test_run(&[20.0]);
        run.levels[0].checks = vec![
            ObjectiveCheck::new("p95_ms", 200.0.into(), 100.0, false, "k6 <a> & \"b\""),
            ObjectiveCheck::new(
                "lag",
                Measured::missing("the broker did not answer"),
                1000.0,
                false,
                "Kafka",
            ),
            ObjectiveCheck::new("error_rate", 0.0.into(), 0.01, false, "k6"),
        ];
        run
    }

    #[test]
    fn junit_tells_missed_from_not_measured() {
        let text = junit(&judged());
        assert!(text.contains("not measured: the broker did not answer; at most 1000 is wanted"), "{text}");
        assert!(text.contains("tests=\"4\" failures=\"1\" skipped=\"1\" errors=\"0\""), "{text}");
        assert!(text.contains(
            "<failure message=\"200; at most 100 is wanted (k6 &lt;a&gt; &amp; &quot;b&quot;)\"/>"
        ));
    }

    #[test]
    fn a_load_that_was_not_offered_is_an_error_in_junit() {
        let mut run = judged();
        run.levels[0].verdict = Verdict::GeneratorLimited;
        assert!(junit(&run).contains("<error message=\"generator-limited\"/>"));
    }

    #[test]
    fn what_a_scenario_found_stands_in_junit_too() {
        let mut run = judged();
        run.levels[0].spike = Some(crate::domain::run::Spike { lag_max: Some(5_000), ..Default::default() });
        run.search =
            Some(SearchResult { rate_rps: Some(300), broke_at_rps: Some(330), ..SearchResult::default() });
        let text = junit(&run);
        assert!(text.contains("largest lag 5000") && text.contains("300/s met every objective"), "{text}");
        assert!(text.contains("<testsuite name=\"search\" tests=\"1\" failures=\"1\">"), "{text}");
        run.search = run.search.map(|search| SearchResult { confirmed: true, ..search });
        assert!(junit(&run).contains("<testsuite name=\"search\" tests=\"1\" failures=\"0\">"));
    }

    #[test]
    fn csv_leaves_a_missing_value_empty() {
        let text = csv(&judged());
        assert!(text.contains("1,50,500,lag,,1000,unknown,\"Kafka\""), "{text}");
    }
}
