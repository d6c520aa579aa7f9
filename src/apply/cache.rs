//! Makes the changes in Redis.

use super::both;
use crate::clients::{http, postgres::Postgres, redis::Redis};
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use crate::plan::CacheStep;
use crate::render::progress::ProgressLine;
use crate::stack::{Stack, account};
use nsys_contract::{api, keys};
use serde_json::Value;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn make(
    permit: &ChangePermit,
    stack: &Stack,
    change: &CacheStep,
    line: &ProgressLine,
) -> Result<(Value, Value)> {
    match change {
        CacheStep::Flush { prefix, keys } => {
            let mut redis = Redis::connect(&stack.endpoints.redis_url(), TIMEOUT).await?;
            let report = |done| line.update(&format!("{done} of {keys} removed"));
            let removed = redis.unlink(permit, prefix, report).await?;
            // After the keys are gone: a replica that forgot earlier would read them from Redis again.
            redis.publish(permit, keys::INVALIDATION_CHANNEL, prefix).await?;
            Ok(both(keys, removed))
        }
        CacheStep::Warm { entries } => {
            let token = account::loadtest_user(stack).await?;
            let url = stack.database_url()?;
            let ids = Postgres::connect(&url, TIMEOUT).await?.newest_ids(i64::from(*entries)).await?;
            let base = format!("{}{}", stack.endpoints.api_url(), api::paths::NOTIFICATIONS);
            for (done, id) in ids.iter().enumerate() {
                let answer = http::get_as(&format!("{base}/{id}"), &token, TIMEOUT).await?;
                if answer.status >= 500 {
                    return Err(Error::failed(format!("the API answered {}", answer.status)));
                }
                line.update(&format!("{} of {} read", done + 1, ids.len()));
            }
            Ok(both(Value::Null, ids.len()))
        }
    }
}
