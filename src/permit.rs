//! The permit without which no client changes anything: made in one place, after every check. No I/O.
//!
//! Whatever changes a part takes a `&ChangePermit`: PostgreSQL, Kafka, Redis, the service's API, the
//! supervisor, Compose, the engine, a cluster. A change without the checks does not compile.

use crate::domain::ownership::SchemaOwner;
use crate::error::{Error, Result};

/// Says that this change was checked and agreed to.
#[derive(Debug)]
pub struct ChangePermit {
    _checked: (),
}

/// What is about to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Processes, containers or pods.
    Parts,
    /// The service's data, through its API.
    Api,
    /// Indexes and statistics of tables, whoever's: rows stay as they are.
    Index,
    /// What the requests of a load test change, which its profile names.
    Load,
    /// Rows, topics or keys.
    Data,
    /// The schema: it may be missing altogether, but must not be somebody else's.
    Schema,
    /// The schema and every row: nothing of somebody else's may stand beside it.
    Reset,
}

/// What it takes to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredConsent {
    /// The command itself says that it is wanted.
    Command,
    /// A yes: a plan was shown, or the stack is not one that nsys started.
    Confirmed,
    /// The same, and at the terminal the stack's name instead of a `y`: it cannot be taken back.
    ForGood,
}

/// A change that wants a permit.
#[derive(Clone, Copy, Debug)]
pub struct PermitRequest<'a> {
    /// For example `a load test`; "changes the stack" completes it.
    pub what: &'a str,
    /// What it changes.
    pub reach: Reach,
    /// What it takes to go on.
    pub agreement: RequiredConsent,
}

/// What the flags of a command say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consent<'a> {
    /// `--yes`.
    pub yes: bool,
    /// `--confirm NAME`.
    pub name: Option<&'a str>,
}

/// What holds for the stack.
#[derive(Clone, Debug)]
pub struct Policy<'a> {
    /// `--read-only`.
    pub read_only: bool,
    /// `stack.protected`.
    pub protected: bool,
    /// The stack's name.
    pub stack: &'a str,
    /// Whose schema its database holds; absent where nsys started the database itself.
    pub owner: Option<SchemaOwner>,
}

impl Policy<'_> {
    /// Refuses what must not be changed whoever agrees to it.
    ///
    /// # Errors
    /// Under `--read-only`, or when the database is somebody else's.
    pub fn allows(&self, what: &str, reach: Reach) -> Result<()> {
        if self.read_only {
            return Err(Error::refused(format!("{what} changes the stack, and --read-only is set")));
        }
        let Some(owner) = &self.owner else { return Ok(()) };
        match (reach, owner) {
            (Reach::Parts | Reach::Index, _) | (Reach::Schema, SchemaOwner::Nobody) => Ok(()),
            (Reach::Reset, SchemaOwner::Nsys { beside }) if !beside.is_empty() => Err(Error::refused(
                format!("{what} would drop tables that are not nsys': {}", beside.join(", ")),
            )
            .hint("move them into another schema first")),
            (_, SchemaOwner::Nsys { .. }) => Ok(()),
            (_, SchemaOwner::Nobody) => {
                Err(Error::refused(format!("{what} needs nsys' schema, and the database is empty"))
                    .hint("nsys up --migrate shows what it would make, and asks"))
            }
            (_, SchemaOwner::Other { why }) => Err(Error::refused(format!(
                "{what} is refused: the schema of this database is not nsys': {why}"
            ))
            .hint("point db.url at the database of the service, or at an empty one")),
        }
    }
}

impl ChangePermit {
    /// Makes the permit when the policy allows the change and it was agreed to. `ask` puts a question to
    /// whoever sits at the terminal; it answers `None` when nobody does.
    ///
    /// # Errors
    /// Refused under `--read-only`, on somebody else's database, without the name of a protected stack,
    /// and without an agreement where one is needed.
    pub(crate) fn grant(
        policy: &Policy<'_>,
        change: &PermitRequest<'_>,
        consent: Consent<'_>,
        ask: impl FnOnce(&str) -> Result<Option<String>>,
    ) -> Result<Self> {
        policy.allows(change.what, change.reach)?;
        let (what, stack) = (change.what, policy.stack);
        match consent.name {
            Some(name) if name == stack => return Ok(Self { _checked: () }),
            Some(_) => {
                return Err(Error::refused(format!("--confirm is not the name of this stack, {stack}")));
            }
            None => {}
        }
        let agreed = consent.yes || change.agreement == RequiredConsent::Command;
        if agreed && !policy.protected {
            return Ok(Self { _checked: () });
        }
        // What cannot be taken back wants more than a habit.
        let wanted =
            if policy.protected || change.agreement == RequiredConsent::ForGood { stack } else { "y" };
        match ask(&format!("{what}: type {wanted} to go on: "))? {
            Some(answer) if answer == wanted => Ok(Self { _checked: () }),
            Some(_) => Err(Error::refused("not confirmed; nothing was changed")),
            None if policy.protected => Err(Error::refused(format!(
                "{what} is not confirmed: the stack {stack} is protected, and there is no terminal to confirm at"
            ))
            .hint(format!("add --confirm {stack}"))),
            None => Err(Error::refused(format!("{what} is not confirmed, and there is no terminal to confirm at"))
                .hint("add --yes, or look first with --dry-run")),
        }
    }

    /// The permit of a generator: a process that only a permitted load test starts.
    pub(crate) const fn of_the_load_test_that_started_this_process() -> Self {
        Self { _checked: () }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(
        policy: &Policy<'_>,
        request: &PermitRequest<'_>,
        consent: Consent<'_>,
        ask: impl FnOnce(&str) -> Result<Option<String>>,
    ) -> Result<ChangePermit> {
        #[expect(clippy::disallowed_methods, reason = "what is tested")]
        let granted = ChangePermit::grant(policy, request, consent, ask);
        granted
    }

    const NAMED: Consent<'_> = Consent { yes: false, name: Some("shop") };
    const YES: Consent<'_> = Consent { yes: true, name: None };
    const NOTHING: Consent<'_> = Consent { yes: false, name: None };

    fn policy(read_only: bool, protected: bool, owner: Option<SchemaOwner>) -> Policy<'static> {
        Policy { read_only, protected, stack: "shop", owner }
    }

    fn nobody(_: &str) -> Result<Option<String>> {
        Ok(None)
    }

    fn granted(policy: &Policy<'_>, reach: Reach, agreement: RequiredConsent, consent: Consent<'_>) -> bool {
        grant(policy, &PermitRequest { what: "it", reach, agreement }, consent, nobody).is_ok()
    }

    #[test]
    fn nothing_is_permitted_under_read_only() {
        for consent in [NAMED, YES, NOTHING] {
            assert!(!granted(&policy(true, false, None), Reach::Parts, RequiredConsent::Command, consent));
        }
    }

    #[test]
    fn a_protected_stack_wants_its_name_whatever_the_command() {
        let protected = policy(false, true, None);
        for agreement in [RequiredConsent::Command, RequiredConsent::Confirmed, RequiredConsent::ForGood] {
            assert!(!granted(&protected, Reach::Parts, agreement, YES));
            assert!(granted(&protected, Reach::Parts, agreement, NAMED));
        }
        let other = Consent { yes: true, name: Some("other") };
        assert!(!granted(&policy(false, false, None), Reach::Parts, RequiredConsent::Command, other));
    }

    #[test]
    fn a_plan_wants_a_yes_and_a_command_is_one() {
        let own = policy(false, false, None);
        assert!(granted(&own, Reach::Data, RequiredConsent::Command, NOTHING));
        assert!(!granted(&own, Reach::Data, RequiredConsent::Confirmed, NOTHING));
        assert!(granted(&own, Reach::Data, RequiredConsent::Confirmed, YES));
    }

    #[test]
    fn what_cannot_be_taken_back_wants_the_name_at_the_terminal() {
        let own = policy(false, false, None);
        let change = PermitRequest { what: "it", reach: Reach::Data, agreement: RequiredConsent::ForGood };
        let typed = |text: &'static str| move |_: &str| Ok(Some(text.to_owned()));
        assert!(grant(&own, &change, NOTHING, typed("y")).is_err());
        assert!(grant(&own, &change, NOTHING, typed("shop")).is_ok());
    }

    #[test]
    fn somebody_elses_schema_is_never_changed() {
        let other = policy(false, false, Some(SchemaOwner::Other { why: "orders".into() }));
        for reach in [Reach::Api, Reach::Load, Reach::Data, Reach::Schema, Reach::Reset] {
            assert!(!granted(&other, reach, RequiredConsent::Command, NAMED), "{reach:?}");
        }
        let empty = policy(false, false, Some(SchemaOwner::Nobody));
        assert!(granted(&empty, Reach::Schema, RequiredConsent::Confirmed, YES));
        assert!(!granted(&empty, Reach::Data, RequiredConsent::Confirmed, YES));
        assert!(granted(&other, Reach::Index, RequiredConsent::Confirmed, YES));
        assert!(!granted(&other, Reach::Index, RequiredConsent::Confirmed, NOTHING));
        let shared = policy(false, false, Some(SchemaOwner::Nsys { beside: vec!["invoices".into()] }));
        assert!(granted(&shared, Reach::Data, RequiredConsent::Confirmed, YES));
        assert!(!granted(&shared, Reach::Reset, RequiredConsent::Confirmed, NAMED));
    }
}
