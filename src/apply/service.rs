//! Makes the changes of the overlay and rolls the service's replicas.

use super::both;
use crate::clients::http;
use crate::config::overlay;
use crate::error::{Context, Error, Result};
use crate::permit::ChangePermit;
use crate::plan::{ConfigStep, ServiceStep};
use crate::render::progress::ProgressView;
use crate::secret::{Guarded, is_secret};
use crate::stack::runtime::Choice;
use crate::stack::{Stack, WantedParts, account, spec};
use nsys_contract::api::paths;
use serde_json::Value;
use std::time::Duration;

/// Replicas of a stack that does not run.
const NOTHING: (u32, u32) = (0, 0);

/// The overlay must still hold what the plan was made for.
pub(super) fn check(stack: &Stack, change: &ConfigStep) -> Result<()> {
    let now = overlay::value(&stack.loaded.overlay, &change.key)?;
    if now == change.before {
        return Ok(());
    }
    let text_of = |value: &Option<Guarded>| {
        value.as_ref().map_or_else(|| "nothing".to_owned(), |value| format!("{} = {value}", change.key))
    };
    Err(Error::refused(format!(
        "{} was changed since\n  then: {}\n  now:  {}",
        stack.loaded.overlay.display(),
        text_of(&change.before),
        text_of(&now)
    )))
}

/// Writes the key; a value that the configuration refuses is taken back at once.
pub(super) fn set(_permit: &ChangePermit, stack: &Stack, change: &ConfigStep) -> Result<(Value, Value)> {
    check(stack, change)?;
    let path = &stack.loaded.overlay;
    overlay::set(path, &change.key, change.after.as_ref())?;
    if let Err(error) = stack.loaded.reload() {
        overlay::set(path, &change.key, change.before.as_ref())?;
        return Err(error);
    }
    Ok(both(&change.before, &change.after))
}

/// Replicas that a change of their number was planned for must still be those that run.
pub(super) async fn check_replicas(stack: &Stack, change: &ServiceStep) -> Result<()> {
    let ServiceStep::Roll { from, to } = change;
    let now = running(stack).await?;
    if from == to || now == *from || now == NOTHING {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the replicas were changed since\n  then: app={} worker={}\n  now:  app={} worker={}",
        from.0, from.1, now.0, now.1
    )))
}

/// Replicas that run: api and worker.
///
/// # Errors
/// When whoever runs the parts does not answer.
pub async fn running(stack: &Stack) -> Result<(u32, u32)> {
    Ok(spec::replicas(&stack.records().await?))
}

/// Restarts what has another configuration now, one replica after the other, and asks each replica
/// whether it has it.
pub(super) async fn roll(
    permit: &ChangePermit,
    stack: &Stack,
    change: &ServiceStep,
    progress: &ProgressView,
) -> Result<(Value, Value)> {
    let ServiceStep::Roll { from, to } = change;
    let now = running(stack).await?;
    if now == NOTHING {
        // The next start reads the configuration anyway.
        return Ok(both(now, now));
    }
    let (app, worker) = if from == to { now } else { *to };
    // Earlier steps of the same plan may have written the overlay since it was loaded.
    let stack = Stack::new(stack.loaded.reload()?);
    let timeout = Duration::from_secs(180);
    let choice = Choice::as_running(&stack.records().await?);
    let wanted = WantedParts { app, worker, timeout, choice, restart: Vec::new(), migrate: false };
    stack.up(permit, wanted, progress).await?;
    let expected = serde_json::to_value(stack.service_config()).context("cannot write the configuration")?;
    let token = account::loadtest_user(&stack).await?;
    for record in stack.records().await? {
        let Some(address) = record.role().and(record.address.as_ref()) else { continue };
        let url = format!("http://{address}{}", paths::ADMIN_CONFIG);
        let answer = http::get_as(&url, &token, Duration::from_secs(5)).await?;
        if answer.status != 200 {
            return Err(Error::failed(format!(
                "{} does not report its configuration: {}",
                record.name, answer.status
            )));
        }
        if let Some((key, has, wants)) = difference(&answer.body, &expected) {
            return Err(Error::failed(format!("{} runs with {key} = {has} instead of {wants}", record.name)));
        }
    }
    Ok(both(now, (app, worker)))
}

/// The first key that differs, secrets and what is filled in at start left out.
fn difference(has: &Value, wants: &Value) -> Option<(String, Value, Value)> {
    const FILLED_IN: [&str; 3] = ["kafka.brokers", "auth.signing_key_file", "telemetry.otlp_url"];
    wants.as_object()?.iter().find_map(|(section, keys)| {
        keys.as_object()?.iter().find_map(|(key, value)| {
            let (full, other) = (format!("{section}.{key}"), &has[section][key]);
            let differs = other != value && !is_secret(&full) && !FILLED_IN.contains(&full.as_str());
            differs.then(|| (full, other.clone(), value.clone()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;
    use crate::stack::Runtime;
    use serde_json::json;

    #[test]
    fn a_replica_that_kept_an_old_value_is_found() {
        let has = json!({"db": {"pool_size": 10, "url": "postgres://real"}});
        let wants = json!({"db": {"pool_size": 20, "url": ""}});
        assert_eq!(difference(&has, &wants), Some(("db.pool_size".into(), json!(10), json!(20))));
        assert_eq!(difference(&has, &json!({"db": {"pool_size": 10, "url": ""}})), None);
    }

    #[test]
    fn what_is_left_to_the_place_is_asked_for_as_it_was_decided() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "").unwrap();
        let loaded = Loaded::load(Some(&file), Some(dir.path()), std::iter::empty()).unwrap();
        let wants = serde_json::to_value(Stack::on(Runtime::Local, loaded).service_config()).unwrap();
        let mut has = wants.clone();
        has["auth"]["open_registration"] = json!(true);
        assert_eq!(difference(&has, &wants), None);
        has["auth"]["open_registration"] = json!(false);
        let kept = ("auth.open_registration".to_owned(), json!(false), json!(true));
        assert_eq!(difference(&has, &wants), Some(kept));
    }
}
