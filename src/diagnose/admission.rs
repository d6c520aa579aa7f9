//! Who lets nobody in: PostgreSQL's connections and Redis' clients second by second, over connections that are
//! kept; the disk, files and processes of the machine at the end. A refusal is an answer too.

use super::TIMEOUT;
use crate::clients::postgres::{Connecting, Postgres};
use crate::clients::redis::Redis;
use crate::clients::{machine, process};
use crate::domain::facts::Facts;
use crate::error::Result;
use crate::measured::Measured;
use crate::stack::Stack;
use crate::stack::reserve::ReservedConnection;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often it is looked.
const STEP: Duration = Duration::from_secs(1);

/// Watches for as long as it lives.
#[derive(Debug)]
pub(super) struct AdmissionWatch {
    seen: Arc<Mutex<[Seen; 2]>>,
    task: tokio::task::JoinHandle<()>,
}

/// What was seen of one part.
#[derive(Clone, Debug, Default)]
struct Seen {
    looks: u32,
    /// Looks without an answer, and why the last one had none.
    unanswered: (u32, Option<String>),
    /// The fullest: held over admitted, and who holds it.
    fullest: Option<(f64, String)>,
}

impl Seen {
    fn take(&mut self, look: Result<Option<(f64, String)>>) {
        self.looks += 1;
        match look {
            Ok(Some((share, who))) => {
                if self.fullest.as_ref().is_none_or(|(most, _)| share >= *most) {
                    self.fullest = Some((share, who));
                }
            }
            Ok(None) => {}
            Err(error) => self.unanswered = (self.unanswered.0 + 1, Some(error.message)),
        }
    }

    fn facts(&self, source: &str, names: [&str; 2], queries: [&str; 2], into: &mut Facts) {
        let ([held, unanswered], [of_held, of_unanswered]) = (names, queries);
        let why = self.unanswered.1.clone();
        let share = self.fullest.as_ref().map(|(share, _)| *share);
        let missing = why.clone().unwrap_or_else(|| format!("{source} does not tell how many it admits"));
        into.put(held, Measured::or_missing(share, missing), source, of_held);
        into.explain(held, self.fullest.as_ref().map(|(_, who)| who.clone()));
        let share = (self.looks > 0).then(|| f64::from(self.unanswered.0) / f64::from(self.looks));
        into.put(unanswered, Measured::or_missing(share, "there was no time to look"), source, of_unanswered);
        into.explain(unanswered, why);
    }
}

impl AdmissionWatch {
    pub(super) fn begin(stack: &Stack) -> Self {
        let seen = Arc::new(Mutex::new(<[Seen; 2]>::default()));
        let task = tokio::spawn(watch(stack.clone(), Arc::clone(&seen)));
        Self { seen, task }
    }

    /// What was seen of both servers.
    pub(super) fn facts(&self, into: &mut Facts) {
        let [database, cache] = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let unanswered = "seconds without an answer over a kept or a new connection, over all";
        database.facts(
            "PostgreSQL",
            ["connections_share", "postgres_unanswered_share"],
            ["client backends of pg_stat_activity over those that it admits, the fullest second", unanswered],
            into,
        );
        cache.facts(
            "Redis",
            ["redis_clients_share", "redis_unanswered_share"],
            ["INFO connected_clients over maxclients, the fullest second", unanswered],
            into,
        );
    }
}

impl Drop for AdmissionWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(stack: Stack, into: Arc<Mutex<[Seen; 2]>>) {
    let (mut database, mut redis) = (None, None);
    loop {
        let (held, clients) = tokio::join!(connections(&mut database, &stack), clients(&mut redis, &stack));
        {
            let mut seen = into.lock().unwrap_or_else(PoisonError::into_inner);
            seen[0].take(held);
            seen[1].take(clients);
        }
        tokio::time::sleep(STEP).await;
    }
}

/// Held over admitted, and by whom. A server that refuses for want of connections has told that all are held.
async fn connections(kept: &mut Option<ReservedConnection>, stack: &Stack) -> Result<Option<(f64, String)>> {
    if kept.is_none() {
        match stack.kept_postgres(TIMEOUT).await {
            Ok(connection) => *kept = Some(connection),
            Err(error) => {
                // To the reserve every refusal is an error; only this tells a full server from a silent one.
                let again = Postgres::try_connect(&stack.database_url()?, TIMEOUT).await;
                return match again {
                    Ok(Connecting::Full(said)) => Ok(Some((1.0, format!("it admits no more: {said}")))),
                    // A place became free in between: the next look uses it.
                    Ok(Connecting::Admitted(_)) => Ok(None),
                    Err(_) => Err(error),
                };
            }
        }
    }
    let Some(connection) = kept.as_mut() else { return Ok(None) };
    let asked = tokio::time::timeout(TIMEOUT, connection.connection_use()).await;
    let asked = asked.unwrap_or_else(|_| {
        Err(crate::error::Error::unreachable(format!("PostgreSQL did not answer within {TIMEOUT:?}")))
    });
    if asked.is_err() {
        *kept = None;
    }
    asked.map(|found| Some((found.share(), found.sentence())))
}

async fn clients(kept: &mut Option<Redis>, stack: &Stack) -> Result<Option<(f64, String)>> {
    if kept.is_none() {
        *kept = Some(Redis::connect(&stack.endpoints.redis_url(), TIMEOUT).await?);
    }
    let Some(redis) = kept.as_mut() else { return Ok(None) };
    let asked = redis.stats().await;
    if asked.is_err() {
        *kept = None;
    }
    let told = asked?;
    let (held, most) = (told.clients, told.max_clients);
    let full = if held >= most { ", it admits no more" } else { "" };
    Ok((most > 0).then(|| (held as f64 / most as f64, format!("{held} of {most} clients connected{full}"))))
}

/// The disk, files and processes of the machine that the stack runs on.
pub(super) async fn machine_facts(stack: &Stack, into: &mut Facts) {
    let names = [
        ("disk_used_share", "statvfs of the directory with the stack's data"),
        ("open_files_share", "/proc/sys/fs/file-nr, and /proc/PID/fd over /proc/PID/limits of each part"),
        ("processes_share", "/proc/loadavg over threads-max and pid_max, pids.current over pids.max"),
    ];
    if !stack.runtime.is_here() {
        for (name, query) in names {
            into.skip(name, query, "the stack runs on other machines");
        }
        return;
    }
    let [(disk, of_disk), (files, of_files), (tasks, of_tasks)] = names;
    let data = [stack.layout.path("data"), stack.loaded.state_dir.clone()];
    let used = data.iter().find_map(|dir| machine::disk_used_share(dir));
    into.put(disk, Measured::or_missing(used, "the file system does not tell"), "statvfs", of_disk);
    let (mut open, mut unread) = (
        machine::open_files().map(|(open, most)| (open / most.max(1.0), "the whole machine".to_owned())),
        None,
    );
    let records = match stack.records().await {
        Ok(records) => records,
        // A share of the machine alone would hide a part that has none left.
        Err(error) => {
            (open, unread) = (None, Some(format!("what runs could not be read: {}", error.message)));
            Vec::new()
        }
    };
    for part in records {
        let Some(pid) = part.process.as_ref().map(|process| process.pid) else { continue };
        let both = process::open_files(pid).zip(process::open_files_limit(pid));
        let share = both.map(|(open, most)| open as f64 / most.max(1) as f64);
        if let Some(share) = share.filter(|share| open.as_ref().is_none_or(|(worst, _)| share > worst)) {
            open = Some((share, part.name.clone()));
        }
    }
    let share = open.as_ref().map(|(share, _)| *share);
    into.put(
        files,
        Measured::or_missing(share, unread.unwrap_or_else(|| "/proc could not be read".to_owned())),
        "/proc",
        of_files,
    );
    into.explain(files, open.map(|(share, who)| format!("{:.0} % of those of {who}", share * 100.0)));
    let running = machine::tasks();
    let share = running.map(|(running, most)| running / most.max(1.0));
    into.put(tasks, Measured::or_missing(share, "/proc could not be read"), "/proc", of_tasks);
    into.explain(
        tasks,
        running.map(|(running, most)| format!("{running:.0} of {most:.0} processes and threads")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_refusal_is_an_answer_and_silence_is_counted() {
        let mut seen = Seen::default();
        seen.take(Ok(Some((0.4, "40 of 100 held: 30 by app".into()))));
        seen.take(Ok(Some((1.0, "it admits no more: sorry, too many clients already".into()))));
        seen.take(Err(Error::unreachable("PostgreSQL did not answer within 3s")));
        seen.take(Ok(None));
        let mut facts = Facts::default();
        seen.facts("PostgreSQL", ["held", "silent"], ["q", "q"], &mut facts);
        assert_eq!((facts.value("held"), facts.value("silent")), (Some(1.0), Some(0.25)));
        let said = |name: &str| facts.get(name).and_then(|fact| fact.detail.clone()).unwrap();
        assert_eq!(said("held"), "it admits no more: sorry, too many clients already");
        assert_eq!(said("silent"), "PostgreSQL did not answer within 3s");
    }

    #[test]
    fn a_part_that_never_answered_has_no_share_and_says_why() {
        let mut seen = Seen::default();
        seen.take(Err(Error::unreachable("redis: ERR max number of clients reached")));
        let mut facts = Facts::default();
        seen.facts("Redis", ["held", "silent"], ["q", "q"], &mut facts);
        assert_eq!(facts.measured("held"), Measured::missing("redis: ERR max number of clients reached"));
        assert_eq!(facts.value("silent"), Some(1.0));
    }
}
