//! `nsys metrics`.

mod export;

use crate::cli::{MetricsCommand, OutputChoice};
use crate::clients::prometheus;
use crate::domain::catalogue;
use crate::domain::promql::Promql;
use crate::error::{Error, Result};
use crate::render::schema::AnswerSchema;
use crate::render::{Out, format, rows::show, table::Table};
use crate::stack::Stack;

/// A query that has a name.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct QueryRow<'a> {
    name: &'a str,
    about: &'a str,
    promql: &'a str,
}

pub(super) async fn metrics(
    stack: &Stack,
    command: MetricsCommand,
    choice: OutputChoice,
    out: Out,
) -> Result<()> {
    let promql = match command {
        MetricsCommand::List => {
            let all = catalogue::all(&stack.scope().await);
            let mut table = Table::new(["name", "about", "promql"]);
            for one in &all {
                table.row([one.name, one.about, one.promql.as_str()]);
            }
            let rows: Vec<_> = all
                .iter()
                .map(|one| QueryRow { name: one.name, about: one.about, promql: one.promql.as_str() })
                .collect();
            return show(out, &rows, &table, "");
        }
        MetricsCommand::Export(args) => return export::metrics(stack, &args, choice, out).await,
        MetricsCommand::Query { promql } => Promql::of_user(&promql),
        MetricsCommand::Get { name } => {
            let all = catalogue::all(&stack.scope().await);
            let known = all.iter().map(|one| one.name);
            let found = all.iter().find(|one| one.name == name);
            found
                .ok_or_else(|| Error::no_such("query", &name, known, "nsys metrics list lists them"))?
                .promql
                .clone()
        }
    };
    let base = stack.endpoints.prometheus_url();
    let series = prometheus::instant(&base, &promql, None, prometheus::TIMEOUT).await?;
    let mut table = Table::new(["labels", "value"]).right(&[1]);
    for one in &series {
        table.row([one.labels.clone(), format::or_missing(one.value(), |value| format!("{value:.6}"))]);
    }
    let selector = stack.selector().to_string();
    let nothing = format!("no series: nothing was measured in the window (metrics.selector {selector})");
    show(out, &series, &table, &nothing)
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![
        AnswerSchema::of::<Vec<QueryRow<'_>>>("metrics list", 1),
        AnswerSchema::of::<Vec<prometheus::LabelledSeries>>("metrics get", 1),
        AnswerSchema::of::<Vec<prometheus::LabelledSeries>>("metrics query", 1),
    ]
}
