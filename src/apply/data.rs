//! Makes the changes in the service's own data, through its API.

use super::both;
use crate::clients::api::Api;
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use crate::plan::DataStep;
use crate::render::progress::ProgressLine;
use crate::stack::account::account_secret;
use crate::stack::{Stack, account};
use nsys_contract::api::{AccountUpdate, NewAccount, Redrive, User};
use nsys_contract::status::Role;
use serde_json::Value;

async fn account(api: &Api, email: &str) -> Result<User> {
    let found = api.user(email).await?;
    found
        .ok_or_else(|| Error::usage(format!("there is no account {email}")).hint("nsys user list lists them"))
}

/// A role that shall be changed must still be the one that is meant.
pub(super) async fn check(stack: &Stack, change: &DataStep) -> Result<()> {
    let DataStep::Role { email, from, .. } = change else { return Ok(()) };
    let now = account(&account::operator_api(stack).await?, email).await?.role;
    if now == *from {
        return Ok(());
    }
    Err(Error::refused(format!("the role of {email} was changed since\n  then: {from}\n  now:  {now}")))
}

pub(super) async fn make(
    permit: &ChangePermit,
    stack: &Stack,
    change: &DataStep,
    line: &ProgressLine,
) -> Result<(Value, Value)> {
    if let DataStep::Bootstrap { email } = change {
        // Nobody is there yet whom the API would obey.
        account::make_loadtest_user(permit, stack).await?;
        return Ok(both(Value::Null, email));
    }
    let api = account::operator_api(stack).await?;
    match change {
        DataStep::Bootstrap { .. } => Ok(both(Value::Null, Value::Null)),
        DataStep::Redrive { filter, matched, rate } => {
            let redrive = Redrive {
                filter: filter.clone(),
                dry_run: false,
                rate: Some(*rate),
                // One second's worth a call, so that progress is seen and Ctrl-C is heard.
                limit: Some(*rate),
            };
            let mut done = 0;
            loop {
                let answer = api.redrive(permit, &redrive).await?;
                done += answer.done;
                line.share(
                    done as f64 / (*matched).max(1) as f64,
                    &format!("{done} of {matched} sent again"),
                );
                // Where some remain and none was done, none ever will be.
                if answer.done == 0 || answer.remaining == 0 {
                    return Ok(both(matched, done));
                }
            }
        }
        DataStep::Purge { query, matched } => {
            let answer = api.purge(permit, query).await?;
            if answer.remaining > 0 {
                return Err(Error::failed(format!("{} dead letters are still there", answer.remaining)));
            }
            Ok(both(matched, answer.done))
        }
        DataStep::AddUser { email, name, role, tenant } => {
            let new = NewAccount {
                email: email.clone(),
                password: stack.layout.secret(&account_secret(email))?,
                name: name.clone(),
                role: Some(*role),
                tenant_id: tenant.clone(),
            };
            Ok(both(Value::Null, api.create_account(permit, &new).await?))
        }
        DataStep::Disable { email } => set_disabled(permit, &api, email, true).await,
        DataStep::Enable { email } => set_disabled(permit, &api, email, false).await,
        DataStep::Role { email, to, .. } => set_role(permit, &api, email, *to).await,
    }
}

async fn set_disabled(
    permit: &ChangePermit,
    api: &Api,
    email: &str,
    disabled: bool,
) -> Result<(Value, Value)> {
    let before = account(api, email).await?;
    let update = AccountUpdate { disabled: Some(disabled), ..AccountUpdate::default() };
    let after = api.update_account(permit, before.id, &update).await?;
    if after.disabled_at.is_some() != disabled {
        return Err(Error::failed(format!("{email} was not changed")));
    }
    Ok(both(before, after))
}

async fn set_role(permit: &ChangePermit, api: &Api, email: &str, to: Role) -> Result<(Value, Value)> {
    let before = account(api, email).await?;
    let update = AccountUpdate { role: Some(to), ..AccountUpdate::default() };
    let after = api.update_account(permit, before.id, &update).await?;
    if after.role != to {
        return Err(Error::failed(format!("{email} is still {}", after.role)));
    }
    Ok(both(before.role, after.role))
}
