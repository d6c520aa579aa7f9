//! `nsys watch`: the dashboard on a terminal, one line a second elsewhere.

use crate::cli::{OutputFormat, WatchArgs};
use crate::error::{Context, Result};
use crate::render::{Out, format};
use crate::stack::Stack;
use crate::tui::{self, Options, State};

pub(super) async fn watch(stack: &Stack, args: WatchArgs, read_only: bool, out: Out) -> Result<()> {
    let options = Options {
        pane: args.pane,
        read_only,
        colour: out.has_colour(),
        record: args.record,
        replay: args.replay,
    };
    if out.can_show_screens() && out.format() == OutputFormat::Text {
        return tui::watch(stack, options).await;
    }
    tui::lines(stack, options, |state, now_s| line(state, now_s, out)).await
}

fn line(state: &State, now_s: f64, out: Out) -> Result<()> {
    let now = state.service.value.filter(|_| state.service.fresh(now_s)).unwrap_or_default();
    let (level, worst) = state.worst(now_s);
    let lag = state.total_lag().filter(|_| state.lag.fresh(now_s));
    if out.format() == OutputFormat::Json {
        let value =
            serde_json::json!({"at_s": now_s, "service": now, "lag": lag, "level": level, "worst": worst});
        return out.line(&serde_json::to_string(&value).context("cannot write the line")?);
    }
    out.line(&format!(
        "{} req {} p95 {} errors {} lag {} | {worst}",
        jiff::Timestamp::now().strftime("%H:%M:%S"),
        format::or_missing(now.rate, format::rate),
        format::or_missing(now.p95_ms, format::millis),
        format::or_missing(now.errors, format::rate),
        format::or_missing(lag, |lag| lag.to_string()),
    ))
}
