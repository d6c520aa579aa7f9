//! Encrypts the secrets of endpoints anew when their key is no longer the first of the configuration.

use crate::channels::EndpointVault;
use crate::db::{DbError, StoredEndpoint};
use crate::parts::Parts;

/// Endpoints of one statement.
const BATCH: i64 = 100;
/// Most of them in one run of the job.
const MAX_BATCHES: usize = 100;

/// Encrypts with the first key what is encrypted with another. What cannot be decrypted stays, and is reported.
pub(crate) async fn renew(parts: &Parts, vault: &EndpointVault) -> Result<(), DbError> {
    let Some(current) = vault.current_key() else { return Ok(()) };
    let mut renewed = 0;
    for _ in 0..MAX_BATCHES {
        let others = parts.db.list_endpoints_of_other_keys(current, BATCH).await?;
        let mut progress = 0;
        for stored in &others {
            progress += u32::from(renew_one(parts, vault, stored).await?);
        }
        renewed += progress;
        if progress == 0 {
            break;
        }
    }
    if renewed > 0 {
        tracing::info!(
            endpoints = renewed,
            key = current,
            "The secrets of endpoints were encrypted with the first key."
        );
    }
    Ok(())
}

async fn renew_one(parts: &Parts, vault: &EndpointVault, stored: &StoredEndpoint) -> Result<bool, DbError> {
    let (tenant, id) = (stored.shown.tenant_id.as_deref().unwrap_or_default(), stored.shown.id);
    let secrets = vault.unseal(tenant, id, &stored.sealed);
    match secrets.and_then(|secrets| vault.seal(tenant, id, &secrets)) {
        Ok(anew) => parts.db.replace_sealed(stored, &anew).await,
        Err(cause) => {
            tracing::error!(endpoint = %id, %cause, "The secrets of an endpoint cannot be encrypted anew.");
            Ok(false)
        }
    }
}
