//! What a command needs of a stack that not every stack has: what its profile must have.
//!
//! The match has no wildcard, so that a new command cannot be left undecided.

use super::{CacheCommand, Command, DbCommand, MetricsCommand, TuneCommand};
use crate::domain::profile::Capability;

impl Command {
    /// What the stack must have for this command, and what the command is called; none for one that works on
    /// any stack, as far as that has the part it asks.
    #[must_use]
    pub fn needs(&self) -> Option<(Capability, &'static str)> {
        Some(match self {
            Self::Setup(_) => (Capability::Lifecycle, "setup"),
            Self::Up(_) => (Capability::Lifecycle, "up"),
            Self::Down(_) => (Capability::Lifecycle, "down"),
            Self::Logs(_) => (Capability::Lifecycle, "logs"),
            Self::Restart(_) => (Capability::Lifecycle, "restart"),
            Self::Scale(_) => (Capability::Lifecycle, "scale"),
            Self::Doctor(_) => (Capability::Lifecycle, "doctor"),
            Self::Verify(args) if !args.no_restart => (Capability::Lifecycle, "verify without --no-restart"),
            Self::Trace(_) => (Capability::Deliveries, "trace"),
            Self::Send(_) => (Capability::Deliveries, "send"),
            Self::Export(_) => (Capability::Deliveries, "export"),
            Self::Dlq(_) => (Capability::DeadLetters, "dlq"),
            Self::User(_) => (Capability::Accounts, "user"),
            Self::Token(_) => (Capability::Accounts, "token"),
            Self::Profile(args) if args.command.is_none() => (Capability::FlameGraph, "profile"),
            Self::Watch(_) => (Capability::Dashboard, "watch"),
            Self::Diagnose(args) if args.live => (Capability::Dashboard, "diagnose --live"),
            Self::Flush(_) => (Capability::Tuning, "flush"),
            Self::Next => (Capability::Tuning, "next"),
            Self::Cache(command) => return command.needs(),
            Self::Tune(command) => return command.needs(),
            Self::Db(command) => return command.needs(),
            Self::Metrics(command) => return command.needs(),
            Self::Ps
            | Self::Stats(_)
            | Self::Health(_)
            | Self::Lag(_)
            | Self::Traces(_)
            | Self::Open(_)
            | Self::Profile(_)
            | Self::Kafka(_)
            | Self::History(_)
            | Self::Undo(_)
            | Self::Config(_)
            | Self::Loadtest(_)
            | Self::Report(_)
            | Self::Diagnose(_)
            | Self::Compare(_)
            | Self::Verify(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Version
            | Self::Schema(_)
            | Self::Generate(_)
            | Self::Supervise(_) => return None,
        })
    }
}

impl CacheCommand {
    const fn needs(&self) -> Option<(Capability, &'static str)> {
        match self {
            Self::Flush(_) => Some((Capability::Tuning, "cache flush")),
            Self::Stats { .. } | Self::Keys { .. } => None,
        }
    }
}

impl TuneCommand {
    const fn needs(&self) -> Option<(Capability, &'static str)> {
        let what = match self {
            Self::Db(args) if args.suggest => return None,
            Self::Db(_) => "tune db without --suggest",
            Self::Kafka(_) => "tune kafka",
            Self::Cache(_) => "tune cache",
            Self::Service(_) => "tune service",
            Self::Plan(_) => "tune plan",
            Self::Experiment(_) => "tune experiment",
            Self::Export => "tune export",
        };
        Some((Capability::Tuning, what))
    }
}

impl DbCommand {
    const fn needs(&self) -> Option<(Capability, &'static str)> {
        Some(match self {
            Self::Migrate(_) => (Capability::Migrations, "db migrate"),
            Self::Status => (Capability::Migrations, "db status"),
            Self::Seed(_) => (Capability::Seed, "db seed"),
            Self::Reset(_) => (Capability::Seed, "db reset"),
            Self::Slow { .. }
            | Self::Pool
            | Self::Size { .. }
            | Self::Locks
            | Self::Indexes { .. }
            | Self::Snapshot { .. } => return None,
        })
    }
}

impl MetricsCommand {
    fn needs(&self) -> Option<(Capability, &'static str)> {
        Some(match self {
            Self::List => (Capability::NamedMetrics, "metrics list"),
            Self::Get { .. } => (Capability::NamedMetrics, "metrics get"),
            Self::Export(args) if args.query.is_none() => {
                (Capability::NamedMetrics, "metrics export without --query")
            }
            Self::Query { .. } | Self::Export(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::profile::Capability;

    fn needs(line: &str) -> Option<Capability> {
        let words = ["nsys"].into_iter().chain(line.split(' '));
        let cli = crate::cli::parse(words).unwrap_or_else(|cause| panic!("{line}: {cause}"));
        cli.command.needs().map(|(capability, _)| capability)
    }

    #[test]
    fn what_only_the_companion_has_is_asked_of_no_other_stack() {
        for (line, capability) in [
            ("up", Capability::Lifecycle),
            ("db seed", Capability::Seed),
            ("db status", Capability::Migrations),
            ("dlq list", Capability::DeadLetters),
            ("send --user-id a", Capability::Deliveries),
            ("token", Capability::Accounts),
            ("watch", Capability::Dashboard),
            ("tune kafka --partitions 6", Capability::Tuning),
            ("profile app", Capability::FlameGraph),
            ("metrics list", Capability::NamedMetrics),
        ] {
            assert_eq!(needs(line), Some(capability), "{line}");
        }
        for line in [
            "loadtest smoke",
            "loadtest find-max",
            "compare a b",
            "report",
            "diagnose",
            "health",
            "db slow",
            "kafka topics",
            "tune db --suggest",
            "profile check",
            "profile show",
            "verify --against latest --no-restart",
        ] {
            assert_eq!(needs(line), None, "{line}");
        }
    }
}
