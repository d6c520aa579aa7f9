//! `nsys user` and `nsys token`: accounts of the service.

use crate::change::carry_out;
use crate::cli::{PlanFlags, TokenArgs, UserCommand};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::plan::{ChangePlan, DataStep, Step};
use crate::render::schema::AnswerSchema;
use crate::render::{Out, Report, format, rows::show, table::Table};
use crate::stack::Stack;
use crate::stack::account::{LOADTEST_USER, account_secret, loadtest_user, operator_api, or_health, sign_in};
use nsys_contract::api::{TokenGrant, UserQuery};
use nsys_contract::status::Role;
use serde::Serialize;

/// Most accounts that a list shows.
const MOST: usize = 10_000;

#[derive(Serialize, schemars::JsonSchema)]
struct Grant(TokenGrant);

impl Report for Grant {
    fn text(&self) -> String {
        self.0.access_token.clone()
    }
}

pub(super) async fn token(stack: &Stack, args: &TokenArgs, out: Out) -> Result<()> {
    let email = args.user.as_deref().unwrap_or(LOADTEST_USER);
    if args.user.is_none() {
        // Says what to do where the account is not there yet.
        loadtest_user(stack).await.map_err(or_health)?;
    }
    let password = args.password_stdin.then(read_password).transpose()?;
    let grant = sign_in(stack, email, password).await?;
    let lives = format::duration(std::time::Duration::from_secs(grant.expires_in));
    out.say(format!("{} ({}), valid for {lives}", grant.user.email, grant.user.role));
    out.report(&Grant(grant))
}

fn read_password() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("cannot read the password")?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() {
        return Err(Error::usage("standard input holds no password"));
    }
    Ok(password)
}

pub(super) async fn user(stack: &Stack, command: UserCommand, out: Out) -> Result<()> {
    match command {
        UserCommand::Bootstrap(flags) => bootstrap(stack, &flags, out).await,
        UserCommand::List { role, tenant } => list(stack, role, tenant, out).await,
        UserCommand::Role { email, role, flags } => set_role(stack, &email, role, &flags, out).await,
        UserCommand::Add { email, name, role, tenant, password_stdin, flags } => {
            let password = password_stdin.then(read_password).transpose()?;
            let name = name.unwrap_or_else(|| email.split('@').next().unwrap_or(&email).to_owned());
            let step = DataStep::AddUser { email: email.clone(), name, role, tenant };
            add(stack, &email, step, password, &flags, out).await
        }
    }
}

/// The first administrator, who can make the others: nobody is there whom the API would obey.
async fn bootstrap(stack: &Stack, flags: &PlanFlags, out: Out) -> Result<()> {
    let mut plan = ChangePlan::new("the first administrator");
    match loadtest_user(stack).await {
        Ok(_) => plan.notes.push("nsys can call the API as an administrator already".into()),
        Err(error) if error.kind == ErrorKind::Refused => {
            plan.notes.push(error.message);
            plan.steps.push(Step::Data(DataStep::Bootstrap { email: LOADTEST_USER.into() }));
        }
        Err(error) => return Err(or_health(error)),
    }
    carry_out(stack, &plan, flags, None, out).await.map(|_| ())
}

async fn list(stack: &Stack, role: Option<Role>, tenant: Option<String>, out: Out) -> Result<()> {
    let query = UserQuery { role, tenant_id: tenant, ..UserQuery::default() };
    let users = operator_api(stack).await?.users(query, MOST).await?;
    let mut table = Table::new(["email", "name", "role", "tenant", "created", "state"]);
    for one in &users {
        table.row([
            one.email.clone(),
            one.name.clone(),
            one.role.to_string(),
            one.tenant_id.clone().unwrap_or_else(|| format::MISSING.into()),
            one.created_at.strftime("%Y-%m-%d").to_string(),
            if one.disabled_at.is_some() { "disabled" } else { "" }.to_owned(),
        ]);
    }
    show(out, &users, &table, "no account")
}

async fn add(
    stack: &Stack,
    email: &str,
    step: DataStep,
    password: Option<String>,
    flags: &PlanFlags,
    out: Out,
) -> Result<()> {
    let there = operator_api(stack).await?.user(email).await?;
    let mut plan = ChangePlan::new("add an account");
    match there {
        Some(user) if user.disabled_at.is_some() => {
            plan.steps.push(Step::Data(DataStep::Enable { email: user.email }));
            plan.notes.push("the account is there, but disabled".into());
        }
        Some(user) => plan.notes.push(format!("{} is there already, as {}", user.email, user.role)),
        None => {
            let name = account_secret(email);
            match password {
                Some(password) if !flags.change.dry_run => stack.layout.keep_secret(&name, &password)?,
                Some(_) => {}
                None => plan.notes.push(format!(
                    "a generated password is kept in secrets/{name}; nsys token --user {email}"
                )),
            }
            plan.steps.push(Step::Data(step));
        }
    }
    carry_out(stack, &plan, flags, None, out).await.map(|_| ())
}

async fn set_role(stack: &Stack, email: &str, to: Role, flags: &PlanFlags, out: Out) -> Result<()> {
    let api = operator_api(stack).await?;
    let Some(user) = api.user(email).await? else {
        let all = api.users(UserQuery::default(), 100).await.unwrap_or_default();
        let known = all.iter().map(|one| one.email.as_str());
        return Err(Error::no_such("account", email, known, "nsys user list lists them"));
    };
    let mut plan = ChangePlan::new("role of an account");
    if user.role == to {
        plan.notes.push(format!("{} is {to} already", user.email));
    } else {
        plan.steps.push(Step::Data(DataStep::Role { email: user.email, from: user.role, to }));
        plan.notes.push("tokens issued before are no longer accepted".into());
    }
    carry_out(stack, &plan, flags, None, out).await.map(|_| ())
}

/// The shapes of what these commands answer.
pub(super) fn schemas() -> Vec<AnswerSchema> {
    vec![
        AnswerSchema::of::<Vec<nsys_contract::api::User>>("user list", 1),
        AnswerSchema::of::<Grant>("token", 1),
    ]
}
