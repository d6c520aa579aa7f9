//! The only place that names the redis driver.

use crate::error::{Error, Result};
use std::time::Duration;

/// Asks for a PONG.
///
/// # Errors
/// When Redis does not answer in time, or answers that it cannot (loading, wrong password).
pub async fn ping(url: &str, timeout: Duration) -> Result<()> {
    let ask = async {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    match tokio::time::timeout(timeout, ask).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(cause)) => Err(Error::unreachable(format!("redis: {cause}"))),
        Err(_) => Err(Error::unreachable(format!("redis did not answer within {timeout:?}"))),
    }
}
