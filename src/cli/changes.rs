//! What each command changes: the one declaration that `--read-only` and the dashboard go by.
//!
//! The match has no wildcard, so that a new command cannot be left undecided.

use super::{
    CacheCommand, ChangeFlags, Command, DbCommand, DlqCommand, LoadtestCommand, PartScale, PlanFlags,
    ProfileArgs, ProfileCommand, RestartArgs, TuneCommand, UserCommand,
};
use crate::permit::Reach;

/// Who asks before a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Nobody has to: with `--dry-run` nothing is changed.
    DryRun,
    /// The command itself, once it has shown its plan.
    Itself,
    /// Nobody: it goes ahead at once.
    Nobody,
}

/// How a change can be shown before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preview {
    /// With `--dry-run`.
    DryRun,
    /// By `loadtest plan`.
    LoadPlan,
    /// In words alone.
    Words,
}

/// What a command changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandChange {
    /// What it is called when it is refused: `db reset`.
    pub what: &'static str,
    /// What it does to whom, as people say it: `stops every part; the data stays`.
    pub does: String,
    /// Who asks first.
    pub asking: Asking,
    /// How it can be shown before.
    pub preview: Preview,
    /// What it reaches: where nsys did not start the database, that decides whether it is refused.
    pub reach: Reach,
}

fn change(what: &'static str, asking: Asking, preview: Preview, does: impl Into<String>) -> CommandChange {
    CommandChange { what, does: does.into(), asking, preview, reach: Reach::Parts }
}

impl CommandChange {
    fn reaching(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }
}

impl ChangeFlags {
    /// These commands never ask.
    const fn asking(self) -> Asking {
        if self.dry_run { Asking::DryRun } else { Asking::Nobody }
    }

    fn change(self, what: &'static str, does: impl Into<String>) -> CommandChange {
        change(what, self.asking(), Preview::DryRun, does)
    }
}

impl PlanFlags {
    /// These commands show their plan and ask, unless a flag has answered already.
    const fn asking(&self) -> Asking {
        if self.change.dry_run {
            Asking::DryRun
        } else if self.change.yes || self.confirm.is_some() {
            Asking::Nobody
        } else {
            Asking::Itself
        }
    }

    fn change(&self, what: &'static str, does: impl Into<String>) -> CommandChange {
        change(what, self.asking(), Preview::DryRun, does)
    }
}

impl Command {
    /// What this command changes in the stack, its data or its runs; none for one that only reads.
    #[must_use]
    pub fn changes(&self) -> Option<CommandChange> {
        Some(match self {
            Self::Setup(args) if args.check => return None,
            Self::Setup(args) => args.change.change("setup", "downloads and installs the tools that are missing"),
            Self::Up(args) => args.flags.change.change("up", "starts every part that is not there, and waits until all are ready"),
            Self::Down(args) if args.volumes => {
                args.flags.change("down --volumes", "stops every part and deletes the data for good")
            }
            Self::Down(args) => args.flags.change.change("down", "stops every part; the data stays"),
            Self::Restart(args) => args.flags.change.change("restart", restarts(args)),
            Self::Scale(args) => args.flags.change.change("scale", scales(&args.scale)),
            Self::Db(command) => return command.changes(),
            Self::Dlq(command) => return command.changes(),
            Self::User(command) => return command.changes(),
            Self::Cache(command) => return command.changes(),
            Self::Flush(args) => args.flags.change("flush", "removes cached entries").reaching(Reach::Data),
            Self::Tune(command) => return command.changes(),
            Self::Undo(args) => args.flags.change("undo", match &args.id {
                Some(id) => format!("takes back the change {id}"),
                None => "takes back the newest change".to_owned(),
            }),
            Self::Send(args) => {
                let asking = if args.dry_run { Asking::DryRun } else { Asking::Nobody };
                let reach = if args.dry_run { Reach::Parts } else { Reach::Api };
                let does = format!("sends a notification to {}", args.user_id);
                change("send", asking, Preview::DryRun, does).reaching(reach)
            }
            Self::Trace(_) => {
                let does = "sends a notification and follows it";
                change("trace", Asking::Nobody, Preview::Words, does).reaching(Reach::Api)
            }
            Self::Verify(args) => {
                let first = if args.no_restart { "" } else { "restarts the service, then " };
                let does = format!("{first}repeats the load of {}", args.against.join(", "));
                change("verify", Asking::Nobody, Preview::Words, does).reaching(Reach::Load)
            }
            Self::Loadtest(command) => return command.changes(),
            Self::Profile(ProfileArgs { command: Some(ProfileCommand::Check { all: true, .. }), .. }) => {
                let does = "sends every request of the profile once";
                change("profile check --all", Asking::Nobody, Preview::Words, does).reaching(Reach::Load)
            }
            Self::Ps
            | Self::Logs(_)
            | Self::Stats(_)
            | Self::Doctor(_)
            | Self::Health(_)
            | Self::Lag(_)
            | Self::Traces(_)
            | Self::Open(_)
            | Self::Profile(_)
            | Self::Watch(_)
            | Self::Kafka(_)
            | Self::History(_)
            | Self::Token(_)
            | Self::Export(_)
            | Self::Metrics(_)
            | Self::Config(_)
            | Self::Report(_)
            | Self::Diagnose(_)
            | Self::Compare(_)
            | Self::Next
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Version
            | Self::Schema(_)
            // Started by nsys itself, with what a command was allowed.
            | Self::Generate(_)
            | Self::Supervise(_) => return None,
        })
    }
}

fn restarts(args: &RestartArgs) -> String {
    match args.parts.as_slice() {
        [] => "restarts the service, one replica after the other".to_owned(),
        parts => format!("restarts {}, one after the other", parts.join(", ")),
    }
}

fn scales(scale: &[PartScale]) -> String {
    let each: Vec<_> = scale.iter().map(|one| format!("{} {}", one.replicas, one.part)).collect();
    format!("starts or stops replicas until {} run", each.join(" and "))
}

impl DbCommand {
    fn changes(&self) -> Option<CommandChange> {
        Some(match self {
            Self::Migrate(flags) => {
                flags.change("db migrate", "applies the migrations that are missing").reaching(Reach::Schema)
            }
            Self::Seed(args) => args.flags.change("db seed", "adds seeded rows").reaching(Reach::Data),
            Self::Reset(flags) => {
                flags.change("db reset", "drops every table with its rows").reaching(Reach::Reset)
            }
            Self::Slow { .. }
            | Self::Pool
            | Self::Size { .. }
            | Self::Locks
            | Self::Indexes { .. }
            | Self::Snapshot { .. }
            | Self::Status => return None,
        })
    }
}

impl DlqCommand {
    fn changes(&self) -> Option<CommandChange> {
        Some(match self {
            Self::Redrive { flags, .. } => {
                flags.change("dlq redrive", "sends dead letters again").reaching(Reach::Api)
            }
            Self::Purge { flags, .. } => {
                flags.change("dlq purge", "deletes dead letters for good").reaching(Reach::Api)
            }
            Self::List { .. } | Self::Show { .. } => return None,
        })
    }
}

impl UserCommand {
    fn changes(&self) -> Option<CommandChange> {
        Some(match self {
            Self::Add { email, flags, .. } => {
                flags.change("user add", format!("creates the account {email}")).reaching(Reach::Api)
            }
            Self::Role { email, role, flags } => {
                flags.change("user role", format!("gives {email} the role {role}")).reaching(Reach::Api)
            }
            Self::Bootstrap(flags) => {
                let does = "registers the account that nsys works with and makes it an administrator";
                flags.change("user bootstrap", does).reaching(Reach::Data)
            }
            Self::List { .. } => return None,
        })
    }
}

impl CacheCommand {
    fn changes(&self) -> Option<CommandChange> {
        match self {
            Self::Flush(args) => {
                Some(args.flags.change("cache flush", "removes cached entries").reaching(Reach::Data))
            }
            Self::Stats { .. } | Self::Keys { .. } => None,
        }
    }
}

impl TuneCommand {
    fn changes(&self) -> Option<CommandChange> {
        Some(match self {
            Self::Db(args) => args.flags.change("tune db", "changes PostgreSQL"),
            Self::Kafka(args) => {
                let reach = if args.partitions.is_some() { Reach::Data } else { Reach::Parts };
                args.flags.change("tune kafka", "changes Kafka").reaching(reach)
            }
            Self::Cache(args) => args.flags.change("tune cache", "changes how Redis is used"),
            Self::Service(args) => args.flags.change("tune service", "changes the service"),
            Self::Plan(args) => {
                args.flags.change("tune plan", format!("makes the changes that {} asks for", args.run))
            }
            Self::Experiment(args) => {
                args.flags.change("tune experiment", "tries changes under load and keeps what helped")
            }
            Self::Export => return None,
        })
    }
}

impl LoadtestCommand {
    fn changes(&self) -> Option<CommandChange> {
        let load = |name: &str| {
            change("a load test", Asking::Nobody, Preview::LoadPlan, format!("offers the load of {name}"))
                .reaching(Reach::Load)
        };
        Some(match self {
            Self::Smoke(_) => load("smoke"),
            Self::Baseline(_) => load("baseline"),
            Self::Incremental(_) => load("incremental"),
            Self::Stress(_) => load("stress"),
            Self::Spike(_) => load("spike"),
            Self::Soak(_) => load("soak"),
            Self::FindMax(_) => load("find-max"),
            Self::All(_) => CommandChange { preview: Preview::Words, ..load("every scenario in turn") },
            Self::Resume { run, .. } => {
                let does = format!("offers the load that {run} still lacks");
                change("a load test", Asking::Nobody, Preview::Words, does).reaching(Reach::Load)
            }
            Self::Calibrate(_) => {
                change("a load test", Asking::Nobody, Preview::Words, "offers load to compare the engines")
                    .reaching(Reach::Load)
            }
            Self::Rm { run, change: flags } => {
                let asking = match flags.asking() {
                    Asking::Nobody if !flags.yes => Asking::Itself,
                    asking => asking,
                };
                CommandChange { asking, ..flags.change("loadtest rm", format!("deletes the run {run}")) }
            }
            Self::Plan { .. } | Self::List { .. } | Self::Show { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn changes(line: &str) -> Option<CommandChange> {
        let words = ["nsys"].into_iter().chain(line.split(' '));
        crate::cli::parse(words).unwrap_or_else(|cause| panic!("{line}: {cause}")).command.changes()
    }

    /// One line for each command that takes `--yes` or `--dry-run`.
    const CHANGES: [&str; 37] = [
        "setup",
        "up",
        "down",
        "restart kafka",
        "scale app=2",
        "db migrate",
        "db seed",
        "db reset",
        "dlq redrive",
        "dlq purge",
        "user add a@b.example",
        "user role a@b.example ADMIN",
        "user bootstrap",
        "cache flush",
        "flush",
        "tune db --indexes",
        "tune kafka --partitions 6",
        "tune cache --ttl user=5m",
        "tune service --workers 2",
        "tune plan",
        "tune experiment",
        "undo",
        "send",
        "loadtest rm latest",
        "trace",
        "verify --against latest",
        "loadtest smoke",
        "loadtest baseline",
        "loadtest incremental",
        "loadtest stress",
        "loadtest spike",
        "loadtest soak",
        "loadtest find-max",
        "loadtest all",
        "loadtest resume",
        "loadtest calibrate",
        "profile check --all",
    ];

    #[test]
    fn every_command_that_can_be_confirmed_or_only_shown_is_a_change() {
        fn walk(command: &clap::Command, before: &str, into: &mut Vec<String>) {
            let flag = |name: &str| command.get_arguments().any(|one| one.get_long() == Some(name));
            if flag("yes") || flag("dry-run") {
                into.push(before.trim_start().to_owned());
            }
            for sub in command.get_subcommands() {
                walk(sub, &format!("{before} {}", sub.get_name()), into);
            }
        }
        let mut known = Vec::new();
        walk(&Cli::command(), "", &mut known);
        assert!(known.len() > 20, "{known:?}");
        // It takes the flags of the load test that it shows, and offers nothing.
        known.retain(|name| name != "loadtest plan");
        for name in known {
            let line = CHANGES.iter().find(|line| **line == name || line.starts_with(&format!("{name} ")));
            let line = line.unwrap_or_else(|| panic!("{name} has no line here"));
            assert!(changes(line).is_some(), "{name} changes something and does not say so");
        }
    }

    #[test]
    fn who_asks_follows_from_the_flags() {
        for line in CHANGES {
            let change = changes(line).unwrap_or_else(|| panic!("{line} says that it changes nothing"));
            if change.preview == Preview::DryRun {
                assert_eq!(changes(&format!("{line} --dry-run")).unwrap().asking, Asking::DryRun, "{line}");
            }
        }
        for line in ["down", "restart kafka", "scale app=2", "up", "undo --yes", "loadtest smoke"] {
            assert_eq!(changes(line).unwrap().asking, Asking::Nobody, "{line}");
        }
        assert_eq!(changes("undo").unwrap().asking, Asking::Itself);
        assert_eq!(changes("cache flush --confirm shop").unwrap().asking, Asking::Nobody);
        for line in ["ps", "lag", "setup --check", "loadtest plan smoke", "dlq list", "tune export", "watch"]
        {
            assert_eq!(changes(line), None, "{line}");
        }
    }

    #[test]
    fn a_change_says_what_it_does_to_whom() {
        assert_eq!(
            changes("restart kafka redis").unwrap().does,
            "restarts kafka, redis, one after the other"
        );
        assert_eq!(changes("scale worker=2").unwrap().does, "starts or stops replicas until 2 worker run");
        assert!(changes("down --volumes").unwrap().does.contains("for good"));
    }
}
