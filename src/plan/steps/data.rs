//! Steps in the service's own data: dead letters and accounts. No I/O.

use super::{Risk, Step, Undo};
use nsys_contract::api::{DeadLetterFilter, DeadLetterQuery, paths};
use nsys_contract::status::Role;
use serde::{Deserialize, Serialize};

/// A change in the service's own data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum DataStep {
    /// Sends dead letters again.
    Redrive {
        /// Which ones.
        filter: DeadLetterFilter,
        /// How many there were when the plan was made.
        matched: u64,
        /// Maximum rate per second.
        rate: u32,
    },
    /// Deletes dead letters.
    Purge {
        /// Which ones.
        query: DeadLetterQuery,
        /// How many there were when the plan was made.
        matched: u64,
    },
    /// Creates an account with a password from the state directory.
    AddUser {
        /// Email address it signs in with.
        email: String,
        /// The person's name.
        name: String,
        /// What it may do.
        role: Role,
        /// The tenant; absent for one of its own.
        tenant: Option<String>,
    },
    /// Makes the account that nsys works with an administrator; registers it where it is not known.
    Bootstrap {
        /// Its address.
        email: String,
    },
    /// Refuses an account from now on.
    Disable {
        /// Its address.
        email: String,
    },
    /// Lets an account in again.
    Enable {
        /// Its address.
        email: String,
    },
    /// Gives an account another role.
    Role {
        /// Its address.
        email: String,
        /// The role it has.
        from: Role,
        /// The role it will have.
        to: Role,
    },
}

impl DataStep {
    pub(super) fn what(&self) -> String {
        match self {
            Self::Redrive { matched, rate, .. } => {
                format!("redrive {matched} dead letters, at most {rate} per second")
            }
            Self::Purge { matched, .. } => format!("delete {matched} dead letters permanently"),
            Self::AddUser { email, role, .. } => format!("create the account {email} as {role}"),
            Self::Bootstrap { email } => {
                format!("make {email} an administrator, and an account where there is none")
            }
            Self::Disable { email } => format!("disable the account {email}"),
            Self::Enable { email } => format!("enable the account {email}"),
            Self::Role { email, from, to } => format!("change {email} from {from} to {to}"),
        }
    }

    pub(super) fn exact(&self) -> String {
        match self {
            Self::Redrive { filter, rate, .. } => {
                format!("POST {} {{filter: {}, rate: {rate}}}", paths::DEAD_LETTERS_REDRIVE, as_json(filter))
            }
            Self::Purge { query, .. } => format!("DELETE {} {}", paths::DEAD_LETTERS, as_json(query)),
            Self::AddUser { role, .. } => format!("POST {} role={role}", paths::ADMIN_USERS),
            Self::Bootstrap { .. } => "INSERT INTO users, or UPDATE users SET role = 'ADMIN'".into(),
            Self::Disable { .. } => format!("PATCH {} disabled=true", paths::ADMIN_USER),
            Self::Enable { .. } => format!("PATCH {} disabled=false", paths::ADMIN_USER),
            Self::Role { to, .. } => format!("PATCH {} role={to}", paths::ADMIN_USER),
        }
    }

    pub(super) fn undo(&self) -> Undo {
        let by = |step| Undo::By(Box::new(Step::Data(step)));
        match self {
            Self::Redrive { .. } => Undo::Impossible("redriven messages cannot be recalled".into()),
            Self::Purge { .. } => Undo::Impossible("deleted dead letters cannot be restored".into()),
            Self::Bootstrap { email } => Undo::Impossible(format!(
                "it cannot take its own rights away; another administrator can: nsys user role {email} USER"
            )),
            Self::AddUser { email, .. } | Self::Enable { email } => {
                by(Self::Disable { email: email.clone() })
            }
            Self::Disable { email } => by(Self::Enable { email: email.clone() }),
            Self::Role { email, from, to } => by(Self::Role { email: email.clone(), from: *to, to: *from }),
        }
    }

    pub(super) const fn risk(&self) -> Risk {
        match self {
            Self::AddUser { .. } => Risk::Low,
            Self::Redrive { .. } | Self::Disable { .. } | Self::Enable { .. } | Self::Role { .. } => {
                Risk::Medium
            }
            Self::Purge { .. } | Self::Bootstrap { .. } => Risk::High,
        }
    }
}

fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
