//! Where a stack runs, and what every runtime is asked. One file a runtime; whoever asks does not
//! see which one answers.

pub(crate) mod docker;
mod external;
mod kubernetes;
mod local;

use super::layout::write_private;
use super::spec::Record;
use super::{Layout, Stack};
use crate::domain::log::LogRequest;
use crate::domain::usage::Usage;
use crate::error::{Error, Result};
use crate::permit::ChangePermit;
use crate::render::progress::ProgressView;
use std::time::Duration;
use tokio::time::Instant;

/// Where the parts of a stack run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Processes of this machine, kept alive by the supervisor.
    Local,
    /// Containers of this machine's engine, by Docker Compose.
    Docker,
    /// Pods of a cluster, beside PostgreSQL, Redis and Kafka that somebody else runs.
    Kubernetes,
    /// Somewhere; nsys was only told the addresses.
    External,
}

/// What shall run.
#[derive(Clone, Debug)]
pub struct WantedParts {
    /// Replicas of the api.
    pub app: u32,
    /// Replicas of the worker.
    pub worker: u32,
    /// Longest wait.
    pub timeout: Duration,
    /// Which parts.
    pub choice: Choice,
    /// Parts with data that may be restarted when they run otherwise than they are to; others of them
    /// are left as they run.
    pub restart: Vec<String>,
    /// Whether the database of a cluster's stack, which is somebody else's, shall be migrated.
    pub migrate: bool,
}

/// A part that runs and that `up` would restart.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Restart {
    /// Its name.
    pub part: String,
    /// In what it differs from what it is to be.
    pub why: String,
    /// Whether the stack is out while it restarts.
    pub holds_data: bool,
}

/// Which parts shall run, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// These and no others; empty: the usual ones.
    pub only: Vec<String>,
    /// Optional parts on top.
    pub with: Vec<String>,
    /// Usual parts that are left out.
    pub without: Vec<String>,
}

impl Choice {
    /// What runs now, and the service.
    #[must_use]
    pub fn as_running(records: &[Record]) -> Self {
        let mut only = vec!["app".to_owned(), "worker".to_owned()];
        only.extend(records.iter().filter(|one| one.role().is_none()).map(|one| one.name.clone()));
        Self { only, ..Self::default() }
    }

    /// Whether this part was chosen; `usual` says whether it runs when nobody says anything.
    #[must_use]
    pub fn wants(&self, part: &str, usual: bool) -> bool {
        let named = |list: &[String]| list.iter().any(|one| one == part);
        if self.only.is_empty() {
            (usual || named(&self.with)) && !named(&self.without)
        } else {
            named(&self.only)
        }
    }

    /// Refuses names that this runtime does not know.
    ///
    /// # Errors
    /// When a part is named that is not among `known`.
    pub fn check(&self, runtime: Runtime, known: &[&str]) -> Result<()> {
        let named = self.only.iter().chain(&self.with).chain(&self.without);
        match named.into_iter().find(|part| !known.contains(&part.as_str())) {
            Some(part) => {
                let what = format!("part of the {} runtime called", runtime.as_str());
                let docs = "nsys up --help says what may be left out or added";
                Err(Error::no_such(&what, part, known.iter().copied(), docs))
            }
            None => Ok(()),
        }
    }
}

/// Told of each line of a log: the part's name and the line.
pub type EachLine<'a> = dyn FnMut(&str, &str) -> Result<()> + Send + 'a;

impl Runtime {
    /// Every runtime.
    pub const ALL: [Self; 4] = [Self::Local, Self::Docker, Self::External, Self::Kubernetes];

    /// The word that stands for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Docker => "docker",
            Self::External => "external",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// The runtime that this word stands for; `auto` stands for none.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|runtime| runtime.as_str() == word)
    }

    /// The one the configuration names, else the one that the last `up` chose, else local.
    #[must_use]
    pub fn of(configured: &str, layout: &Layout) -> Self {
        Self::named(configured).or_else(|| Self::chosen_before(layout)).unwrap_or(Self::Local)
    }

    /// The one that the last `up` chose.
    #[must_use]
    pub fn chosen_before(layout: &Layout) -> Option<Self> {
        let word = std::fs::read_to_string(layout.run().join("runtime")).ok()?;
        Self::named(word.trim())
    }

    /// What `auto` means for `up`: what it meant before, else containers when an engine answers and
    /// every image is there or can be had, else processes of this machine. Without a permit no image is
    /// pulled or built to find out.
    pub async fn choose(permit: Option<&ChangePermit>, stack: &Stack, progress: &ProgressView) -> Self {
        if let Some(before) = Self::chosen_before(&stack.layout) {
            return before;
        }
        let on_docker = Stack::on(Self::Docker, stack.loaded.clone());
        match docker::available(permit, &on_docker, progress).await {
            Ok(()) => Self::Docker,
            Err(why) => {
                progress.line("runtime").finish(&format!("local, for {}", why.message));
                Self::Local
            }
        }
    }

    /// Whether the parts are at the addresses of the configuration, not on this machine.
    #[must_use]
    pub const fn is_elsewhere(self) -> bool {
        matches!(self, Self::External | Self::Kubernetes)
    }

    /// Whether the parts run on this machine, so that their load is this machine's.
    #[must_use]
    pub const fn is_here(self) -> bool {
        !self.is_elsewhere()
    }

    /// Says what a runtime cannot do.
    ///
    /// # Errors
    /// When the parts are not run by nsys; `what` completes "it cannot".
    pub fn must_run_parts(self, what: &str) -> Result<()> {
        match self {
            Self::External => {
                Err(Error::refused(format!("this stack runs elsewhere; nsys cannot {what} there"))
                    .hint("do it where the stack is operated; nsys tune export prints the settings for it"))
            }
            Self::Local | Self::Docker | Self::Kubernetes => Ok(()),
        }
    }

    fn remember(self, layout: &Layout) -> Result<()> {
        write_private(&layout.run().join("runtime"), self.as_str())
    }
}

impl Stack {
    /// What runs, one record a part; empty when nothing does.
    ///
    /// # Errors
    /// When whoever runs the parts does not answer.
    pub async fn records(&self) -> Result<Vec<Record>> {
        match self.runtime {
            Runtime::Local => local::records(self).await,
            Runtime::Docker => docker::records(self).await,
            Runtime::External => external::records(self).await,
            Runtime::Kubernetes => kubernetes::records(self).await,
        }
    }

    /// What each of these parts uses, in their order; absent where it could not be had.
    pub async fn usage(&self, records: &[Record]) -> Vec<Option<Usage>> {
        match self.runtime {
            Runtime::Local => local::usage(records),
            Runtime::Docker => docker::usage(records).await,
            Runtime::External | Runtime::Kubernetes => external::usage(self, records).await,
        }
    }

    /// Tells each line of the logs.
    ///
    /// # Errors
    /// When there is no such log, it cannot be read, or `each` fails.
    pub async fn logs(&self, request: &LogRequest, each: &mut EachLine<'_>) -> Result<()> {
        match self.runtime {
            Runtime::Local => local::logs(self, request, each).await,
            Runtime::Docker => docker::logs(self, request, each).await,
            Runtime::Kubernetes => kubernetes::logs(self, request, each).await,
            Runtime::External => self.runtime.must_run_parts("read the logs"),
        }
    }

    /// The last lines of a part's log; empty when there are none.
    pub async fn log_tail(&self, part: &str, lines: usize) -> Vec<String> {
        let mut tail = Vec::new();
        let request = LogRequest { parts: vec![part.to_owned()], lines, since: None, follow: false };
        let mut keep = |_: &str, line: &str| {
            tail.push(line.to_owned());
            Ok(())
        };
        // What cannot be read is not shown; the failure that is looked into has its own message.
        let _ = self.logs(&request, &mut keep).await;
        tail
    }

    /// Brings everything up, or up to date, and waits until it is ready. Running it again does nothing.
    ///
    /// # Errors
    /// When a tool is missing, a port is taken, or a part is not ready in time; the message says which and why.
    pub async fn up(
        &self,
        permit: &ChangePermit,
        wanted: WantedParts,
        progress: &ProgressView,
    ) -> Result<Vec<Record>> {
        let deadline = Instant::now() + wanted.timeout;
        self.layout.check()?;
        self.layout.create()?;
        let lock = std::fs::File::create(self.layout.run().join("up.lock"))
            .map_err(|cause| Error::failed(format!("cannot create the lock: {cause}")))?;
        lock.try_lock().map_err(|_| {
            Error::refused("another nsys is starting this stack").hint("nsys ps shows how far it is")
        })?;
        let deployed = tokio::select! {
            deployed = self.deploy(permit, &wanted, deadline, progress) => deployed,
            _ = tokio::signal::ctrl_c() => Err(Error::interrupted("interrupted; what was started keeps running")
                .hint("nsys up continues, nsys down stops it")),
        };
        if deployed.is_err() && self.runtime == Runtime::Local {
            local::end_idle_supervisor(permit, self).await;
        }
        deployed?;
        self.records().await
    }

    /// Each runtime remembers itself right before it starts the first part: what comes up half is to be
    /// found, and taken down, there; what never began is no runtime of this stack.
    async fn deploy(
        &self,
        permit: &ChangePermit,
        wanted: &WantedParts,
        deadline: Instant,
        progress: &ProgressView,
    ) -> Result<()> {
        match self.runtime {
            Runtime::Local => local::up(permit, self, wanted, deadline, progress).await,
            Runtime::Docker => docker::up(permit, self, wanted, deadline, progress).await,
            Runtime::External => external::await_ready(self, &wanted.choice, deadline, progress).await,
            Runtime::Kubernetes => kubernetes::up(permit, self, wanted, deadline, progress).await,
        }
    }

    /// Parts that run and that [`Stack::up`] would restart. In a cluster those with data are not nsys' own, and
    /// replicas are replaced without a gap.
    ///
    /// # Errors
    /// When a program is missing, or the supervisor or the engine does not answer.
    pub async fn restarts(&self, wanted: &WantedParts) -> Result<Vec<Restart>> {
        match self.runtime {
            Runtime::Local => local::restarts(self, wanted).await,
            Runtime::Docker => docker::restarts(self, wanted).await,
            Runtime::External | Runtime::Kubernetes => Ok(Vec::new()),
        }
    }

    /// Waits until every part of a stack that runs elsewhere answers, and changes nothing there.
    ///
    /// # Errors
    /// When one does not answer in time; refused when schema or topics are missing.
    pub async fn await_elsewhere(&self, wanted: WantedParts, progress: &ProgressView) -> Result<Vec<Record>> {
        let deadline = Instant::now() + wanted.timeout;
        self.layout.create()?;
        external::await_ready(self, &wanted.choice, deadline, progress).await?;
        self.records().await
    }

    /// Waits until the servers of a stack that runs elsewhere answer: PostgreSQL, Redis and Kafka.
    ///
    /// # Errors
    /// When one does not in time.
    pub async fn await_servers(&self, wanted: &WantedParts, progress: &ProgressView) -> Result<()> {
        external::await_servers(self, &wanted.choice, Instant::now() + wanted.timeout, progress).await
    }

    /// What `up` would do.
    ///
    /// # Errors
    /// When a cluster that is asked for it does not answer, or would refuse an object.
    pub async fn intent(&self, wanted: &WantedParts) -> Result<String> {
        Ok(match self.runtime {
            Runtime::Kubernetes => kubernetes::dry_run(self, wanted).await?,
            Runtime::Local => format!(
                "would start postgres, redis, kafka, prometheus, {} app and {} worker on the local runtime in {}",
                wanted.app,
                wanted.worker,
                self.layout.path("").display()
            ),
            Runtime::Docker => format!(
                "would start the services of {} with {} app and {} worker in containers",
                self.layout.path("compose/compose.yaml").display(),
                wanted.app,
                wanted.worker
            ),
            Runtime::External => format!(
                "would start nothing and change nothing, look for schema and topics, and wait for {}",
                self.endpoints.api_url()
            ),
        })
    }

    /// Stops everything. Returns what to tell of it.
    ///
    /// # Errors
    /// When it cannot be stopped.
    pub async fn down(&self, permit: &ChangePermit, volumes: bool) -> Result<String> {
        match self.runtime {
            Runtime::Local => local::down(permit, self, volumes).await,
            Runtime::Docker => docker::down(permit, self, volumes).await,
            Runtime::Kubernetes => kubernetes::down(permit, self, volumes).await,
            Runtime::External => self.runtime.must_run_parts("stop the parts").map(|()| String::new()),
        }
    }

    /// Restarts one part; it may not be ready yet on return.
    ///
    /// # Errors
    /// When it cannot be restarted.
    pub async fn restart(&self, permit: &ChangePermit, record: &Record) -> Result<()> {
        match self.runtime {
            Runtime::Local => local::restart(permit, self, record).await,
            Runtime::Docker => docker::restart(permit, record).await,
            Runtime::Kubernetes => kubernetes::restart(permit, self, record).await,
            Runtime::External => self.runtime.must_run_parts("restart a part"),
        }
    }
}

/// The parts whose log is asked for.
fn asked_for<'a>(records: &'a [Record], request: &LogRequest) -> Result<Vec<&'a Record>> {
    let names: Vec<_> = records.iter().map(|record| record.name.clone()).collect();
    if let Some(missing) = request.missing(&names) {
        let known = names.iter().map(String::as_str);
        return Err(Error::no_such("part", missing, known, "nsys ps lists them"));
    }
    let wanted: Vec<_> = records.iter().filter(|record| request.wants(&record.name)).collect();
    if wanted.is_empty() {
        return Err(Error::unreachable("nothing runs").hint("nsys up"));
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_wins_over_what_the_last_up_chose() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "test");
        layout.create().unwrap();
        assert_eq!(Runtime::of("auto", &layout), Runtime::Local);
        Runtime::External.remember(&layout).unwrap();
        assert_eq!(Runtime::of("auto", &layout), Runtime::External);
        assert_eq!(Runtime::of("local", &layout), Runtime::Local);
    }

    #[test]
    fn parts_are_chosen_by_name() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let only = Choice { only: list(&["redis"]), ..Choice::default() };
        assert!(only.wants("redis", true) && !only.wants("kafka", true));
        let mixed = Choice { with: list(&["replica"]), without: list(&["jaeger"]), ..Choice::default() };
        assert!(mixed.wants("replica", false) && !mixed.wants("jaeger", true) && mixed.wants("kafka", true));
        assert!(mixed.check(Runtime::Local, &["replica", "jaeger"]).is_ok());
        let refused = mixed.check(Runtime::Local, &["replica"]).unwrap_err();
        assert_eq!(refused.message, "there is no part of the local runtime called jaeger");
    }

    #[test]
    fn a_part_is_asked_for_by_its_name_or_its_role() {
        let request =
            |part: &str| LogRequest { parts: vec![part.into()], lines: 1, since: None, follow: false };
        assert!(request("app").wants("app-2") && request("app-2").wants("app-2"));
        assert!(!request("app-1").wants("app-2") && !request("app").wants("worker-1"));
    }
}
