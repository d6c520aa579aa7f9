//! Whose schema a database holds: told by the migrations that were applied and by the tables as they made
//! them. No I/O.

use super::database::{Migration, MigrationState};
use std::collections::{BTreeMap, BTreeSet};

/// Whose schema it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaOwner {
    /// nsys made it.
    Nsys {
        /// Tables of somebody else in the same schema.
        beside: Vec<String>,
    },
    /// There is no table at all.
    Nobody,
    /// Somebody else's.
    Other {
        /// What tells so.
        why: String,
    },
}

/// The columns of every table outside the server's own schemas, by `table` in `public` and `schema.table`
/// elsewhere.
pub type Tables = BTreeMap<String, BTreeSet<String>>;

/// The table in which the migrations are noted.
const MIGRATIONS: &str = "_sqlx_migrations";

/// Columns that each migration made.
const MADE: &[(i64, &str, &str)] = &[
    (1, "users", "id email name password_hash role tenant_id created_at updated_at"),
    (
        1,
        "notifications",
        "id user_id tenant_id channel type priority status payload scheduled_for expires_at sent_at failed_at \
         next_attempt_at retry_count error_message idempotency_key request_hash correlation_id causation_id \
         created_at updated_at",
    ),
    (1, "events", "id notification_id status detail created_at"),
    (1, "delivery_attempts", "notification_id attempt provider outcome error duration_ms started_at"),
    (1, "dead_letters", "id notification_id reason error raw created_at"),
    (2, "notifications", "provider duration_ms event_id first_attempt"),
    (
        2,
        "dead_letters",
        "tenant_id user_id channel attempts topic log_partition log_offset message_key redrive_at redriven_at \
         published_at",
    ),
    (2, "preferences", "tenant_id user_id timezone quiet_from quiet_to muted updated_at"),
    (2, "jobs", "name next_run_at ran_at ran_by"),
    (3, "users", "disabled_at"),
    (3, "api_keys", "id name hash role tenant_id created_by created_at expires_at last_used_at revoked_at"),
    (3, "signing_keys", "kid public_key sealed created_at active_from revoked_at"),
    (3, "templates", "tenant_id id channel payload version created_at updated_at"),
    (3, "audit_log", "id created_at actor_id actor tenant_id action target detail"),
    (4, "notifications", "held_s"),
    (4, "log_gaps", "topic log_partition first_offset next_offset found_at"),
    (5, "notifications", "claims"),
    (
        6,
        "sender_identities",
        "id tenant_id channel sender code_hash code_expires_at code_attempts verified_at created_by created_at",
    ),
    // Indexes only.
    (7, "notifications", ""),
    (
        8,
        "webhook_endpoints",
        "tenant_id id url description event_types header_names sealed key_id previous_secret_until failing_since \
         disabled_at disabled_reason version created_by owner_id created_at updated_at",
    ),
    (
        8,
        "webhook_attempts",
        "tenant_id endpoint_id id notification_id message_id attempt started_at duration_ms status error answer",
    ),
];

/// Names shown of somebody else's tables.
const SHOWN: usize = 5;

/// Decides whose schema it is.
#[must_use]
pub fn owner(migrations: &[Migration], tables: &Tables) -> SchemaOwner {
    let applied = |state: MigrationState| migrations.iter().filter(move |one| one.state == state);
    let others = || {
        let ours = |name: &str| name == MIGRATIONS || MADE.iter().any(|(_, table, _)| *table == name);
        tables.keys().filter(|name| !ours(name)).cloned().collect::<Vec<_>>()
    };
    let newest = applied(MigrationState::Applied).map(|one| one.version).max();
    let Some(newest) = newest else {
        // A migration that failed at once leaves its own table behind, and nothing else.
        if tables.keys().all(|name| name == MIGRATIONS) && applied(MigrationState::Changed).count() == 0 {
            return SchemaOwner::Nobody;
        }
        return SchemaOwner::Other { why: format!("it holds {}", named(tables)) };
    };
    for (_, table, columns) in MADE.iter().filter(|(version, ..)| *version <= newest) {
        let Some(there) = tables.get(*table) else {
            return SchemaOwner::Other {
                why: format!("the table {table} is missing; it holds {}", named(tables)),
            };
        };
        if let Some(lacks) = columns.split_whitespace().find(|column| !there.contains(*column)) {
            return SchemaOwner::Other { why: format!("the table {table} has no column {lacks}") };
        }
    }
    SchemaOwner::Nsys { beside: others().into_iter().filter(|name| !name.contains('.')).collect() }
}

/// The tables' names, those first that nsys has none of the same name.
fn named(tables: &Tables) -> String {
    let ours = |name: &&String| *name == MIGRATIONS || MADE.iter().any(|(_, table, _)| table == name);
    let (ours, others): (Vec<_>, Vec<_>) = tables.keys().partition(ours);
    let names: Vec<&str> = others.into_iter().chain(ours).map(String::as_str).collect();
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", names[..SHOWN].join(", ")),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(version: i64, state: MigrationState) -> Migration {
        Migration { version, name: "x".into(), state, at: None }
    }

    fn made(up_to: i64) -> Tables {
        let mut tables = Tables::new();
        tables.insert(MIGRATIONS.into(), BTreeSet::from(["version".into()]));
        for (_, table, columns) in MADE.iter().filter(|(version, ..)| *version <= up_to) {
            let columns = columns.split_whitespace().map(str::to_owned);
            tables.entry((*table).to_owned()).or_default().extend(columns);
        }
        tables
    }

    #[test]
    fn a_schema_is_ours_by_its_migrations_and_its_tables() {
        use MigrationState::{Applied, Changed, Pending};
        let applied = [migration(1, Applied), migration(2, Applied), migration(3, Pending)];
        assert_eq!(owner(&applied, &made(2)), SchemaOwner::Nsys { beside: Vec::new() });
        let mut shared = made(2);
        shared.insert("invoices".into(), BTreeSet::new());
        shared.insert("shop.orders".into(), BTreeSet::new());
        assert_eq!(owner(&applied, &shared), SchemaOwner::Nsys { beside: vec!["invoices".into()] });
        // The right note, the wrong tables; and the other way round.
        let mut lacks = made(2);
        lacks.get_mut("users").unwrap().remove("password_hash");
        assert!(
            matches!(owner(&applied, &lacks), SchemaOwner::Other { why } if why.contains("password_hash"))
        );
        assert!(matches!(owner(&[migration(1, Changed)], &made(1)), SchemaOwner::Other { .. }));
        assert!(matches!(owner(&[migration(1, Pending)], &made(1)), SchemaOwner::Other { .. }));
    }

    #[test]
    fn nobody_owns_an_empty_database_and_somebody_one_with_tables() {
        let pending = [migration(1, MigrationState::Pending)];
        assert_eq!(owner(&pending, &Tables::new()), SchemaOwner::Nobody);
        let orders =
            Tables::from([("orders".to_owned(), BTreeSet::new()), ("users".to_owned(), BTreeSet::new())]);
        assert_eq!(owner(&pending, &orders), SchemaOwner::Other { why: "it holds orders, users".into() });
        let elsewhere = Tables::from([("shop.orders".to_owned(), BTreeSet::new())]);
        assert!(matches!(owner(&pending, &elsewhere), SchemaOwner::Other { .. }));
    }

    #[test]
    fn every_migration_is_known_here() {
        let newest = MADE.iter().map(|(version, ..)| *version).max();
        assert_eq!(newest, Some(nsys_contract::schema::REQUIRED_SCHEMA_VERSION));
    }
}
