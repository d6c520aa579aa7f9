//! `nsys metrics export`: rows streamed to standard output or into a file.

use crate::cli::{MetricsExportArgs, OutputChoice};
use crate::clients::prometheus;
use crate::domain::catalogue;
use crate::domain::promql::Promql;
use crate::error::{Context, Error, Result};
use crate::render::{Out, sink::Sink};
use crate::stack::Stack;
use serde_json::json;

/// Points of a series when no step is asked for.
const DEFAULT_POINTS: f64 = 1_000.0;

pub(super) async fn metrics(
    stack: &Stack,
    args: &MetricsExportArgs,
    choice: OutputChoice,
    out: Out,
) -> Result<()> {
    let seconds = |at: jiff::Timestamp| at.as_millisecond() as f64 / 1_000.0;
    let (start, end) = (seconds(args.start), seconds(args.end));
    if start >= end {
        return Err(Error::usage(format!("the range is empty: {} to {}", args.start, args.end))
            .hint("--start 15m means 15 minutes ago"));
    }
    let queries = chosen(stack, args).await?;
    let step =
        args.step.map_or_else(|| ((end - start) / DEFAULT_POINTS).ceil().max(1.0), |one| one.as_secs_f64());
    if step <= 0.0 {
        return Err(Error::usage("--step must be more than nothing"));
    }
    let mut sink = Sink::open(args.to.as_deref(), out)?;
    let mut rows = 0_usize;
    let is_csv = !matches!(choice, OutputChoice::Json | OutputChoice::Ndjson);
    if is_csv {
        sink.write(b"time,name,labels,value\n")?;
    }
    let mut documents = Vec::new();
    for (name, promql) in &queries {
        // Piece by piece, so that an export of a year is never held as a whole.
        for (from, to) in prometheus::pieces(start, end, step) {
            let series = prometheus::range(&stack.endpoints.prometheus_url(), promql, from, to, step).await?;
            for one in series {
                rows += one.points.len();
                match choice {
                    OutputChoice::Ndjson => sink.write(ndjson(name, &one).as_bytes())?,
                    OutputChoice::Json => {
                        documents.push(json!({"name": name, "promql": promql.as_str(), "series": one}));
                    }
                    _ => sink.write(csv(name, &one).as_bytes())?,
                }
            }
        }
    }
    if choice == OutputChoice::Json {
        let text = serde_json::to_string_pretty(&documents).context("cannot write the export as JSON")?;
        sink.write(format!("{text}\n").as_bytes())?;
    }
    sink.finish()?;
    out.say(format!("{rows} points of {} queries", queries.len()));
    Ok(())
}

async fn chosen(stack: &Stack, args: &MetricsExportArgs) -> Result<Vec<(String, Promql)>> {
    if let Some(promql) = &args.query {
        return Ok(vec![("query".to_owned(), Promql::of_user(promql))]);
    }
    let all = catalogue::all(&stack.scope().await);
    if args.names.is_empty() {
        return Ok(all.into_iter().map(|one| (one.name.to_owned(), one.promql)).collect());
    }
    let find = |name: &String| {
        let known = all.iter().map(|one| one.name);
        let found = all.iter().find(|one| one.name == name);
        let found =
            found.ok_or_else(|| Error::no_such("query", name, known, "nsys metrics list lists them"))?;
        Ok((name.clone(), found.promql.clone()))
    };
    args.names.iter().map(find).collect()
}

fn instant(seconds: f64) -> String {
    let at = jiff::Timestamp::from_millisecond((seconds * 1_000.0).round() as i64);
    at.map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

fn csv(name: &str, series: &prometheus::LabelledSeries) -> String {
    let labels = quoted(&series.labels);
    let line = |(at, value): &(f64, f64)| format!("{},{},{labels},{value}\n", instant(*at), quoted(name));
    series.points.iter().map(line).collect()
}

fn ndjson(name: &str, series: &prometheus::LabelledSeries) -> String {
    let line = |(at, value): &(f64, f64)| {
        let row = json!({"time": instant(*at), "name": name, "labels": series.labels, "value": value});
        format!("{row}\n")
    };
    series.points.iter().map(line).collect()
}

/// A CSV cell; quoted only when it must be.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_with_quotes_stays_one_cell() {
        let series =
            prometheus::LabelledSeries { labels: "{\"a\":\"b,c\"}".into(), points: vec![(1.5, 2.0)] };
        assert_eq!(csv("p95", &series), "1970-01-01T00:00:01.5Z,p95,\"{\"\"a\"\":\"\"b,c\"\"}\",2\n");
    }
}
