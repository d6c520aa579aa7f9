//! One part of some version, started for a test as its own vendor's documents say, and nsys beside it.

use crate::support::{free_port, text, wait};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A server that ends with the test.
pub(super) struct Part {
    /// Its key of the configuration, and its address.
    variable: &'static str,
    pub(super) url: String,
    /// The database beside it, where that is another part.
    beside: Option<String>,
    port: u16,
    dir: TempDir,
    child: Child,
}

/// nsys on a stack that runs elsewhere, of which only this part is there.
pub(super) fn command(part: &Part, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsys"));
    command.args(args).arg("--state-dir").arg(part.dir.path().join("state")).current_dir(part.dir.path());
    command
        .env("NO_COLOR", "1")
        .env_remove("NSYS_MATRIX")
        .env("XDG_CONFIG_HOME", part.dir.path().join("none"))
        .env("NSYS_STACK__NAME", "matrix")
        .env("NSYS_STACK__RUNTIME", "external")
        .env("NSYS_EXTERNAL__API_URL", "http://127.0.0.1:1")
        .env("NSYS_DB__URL", "postgres://nsys@127.0.0.1:1/notifications")
        .env("NSYS_KAFKA__BROKERS", "127.0.0.1:1")
        .env("NSYS_CACHE__URL", "redis://127.0.0.1:1")
        .envs(part.beside.as_ref().map(|url| ("NSYS_DB__URL", url)))
        .env(part.variable, &part.url);
    command
}

fn wait_for(part: &str, port: u16) {
    let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait(Duration::from_secs(60), answers, &format!("{part} does not listen"));
}

/// The user that PostgreSQL runs as where the test is root: it refuses root.
fn plain_user() -> Option<(u32, u32)> {
    let own = Command::new("id").arg("-u").output().ok()?;
    if own.stdout.trim_ascii() != b"0" {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2).map_while(|field| field.parse().ok());
    Some((fields.next()?, fields.next()?))
}

/// A program as that user.
fn as_plain(program: impl AsRef<std::ffi::OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = plain_user() {
        std::os::unix::fs::chown(dir, Some(user), Some(group)).expect("root may");
        command.uid(user).gid(group);
    }
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Part {
    /// PostgreSQL with its programs in `dir/bin`.
    pub(super) fn postgres(dir: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("postgres");
        std::fs::create_dir(&home).unwrap();
        open_to_all(place.path());
        let data = home.join("data");
        let initdb = as_plain(dir.join("bin/initdb"), &home)
            .args(["-U", "nsys", "-A", "trust", "-E", "UTF8", "-D"])
            .arg(&data)
            .status();
        assert!(initdb.unwrap().success(), "initdb of {}", dir.display());
        let mut single = as_plain(dir.join("bin/postgres"), &home)
            .args(["--single", "postgres", "-D"])
            .arg(&data)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut single.stdin.take().unwrap(), b"CREATE DATABASE notifications\n")
            .unwrap();
        assert!(single.wait().unwrap().success());
        let port = free_port();
        let child = as_plain(dir.join("bin/postgres"), &home)
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-k", ""])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "shared_preload_libraries=pg_stat_statements"])
            .spawn()
            .unwrap();
        wait_for("PostgreSQL", port);
        let url = format!("postgres://nsys@127.0.0.1:{port}/notifications");
        Self { variable: "NSYS_DB__URL", url, beside: None, port, dir: place, child }
    }

    /// A broker with its jars in `dir`, in the quorum of one that every version knows.
    pub(super) fn kafka(dir: &Path, beside: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (port, controller) = (free_port(), free_port());
        let logs = place.path().join("logs");
        let settings = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={}\n\
             auto.create.topics.enable=false\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=3\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n",
            logs.display()
        );
        let file = place.path().join("server.properties");
        std::fs::write(&file, settings).unwrap();
        let java = |class: &str, memory: &str| {
            let mut command = Command::new("java");
            command.arg(memory).arg("-cp").arg(dir.join("*")).arg(class).stdout(Stdio::null());
            command.stderr(Stdio::null());
            command
        };
        let format = java("kafka.tools.StorageTool", "-Xmx128m")
            .args(["format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
            .arg(&file)
            .status();
        assert!(format.unwrap().success(), "the storage of {}", dir.display());
        let child = java("kafka.Kafka", "-Xmx512m").arg(&file).spawn().unwrap();
        wait_for("the broker", port);
        let url = format!("127.0.0.1:{port}");
        Self {
            variable: "NSYS_KAFKA__BROKERS",
            url,
            beside: Some(beside.to_owned()),
            port,
            dir: place,
            child,
        }
    }

    /// Redis, or what speaks its protocol, as the first program in `dir`.
    pub(super) fn redis(dir: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        let programs = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path());
        let program: PathBuf =
            programs.into_iter().find(|path| path.to_string_lossy().ends_with("-server")).expect("a server");
        let port = free_port();
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .current_dir(place.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("Redis", port);
        let url = format!("redis://127.0.0.1:{port}/0");
        Self { variable: "NSYS_CACHE__URL", url, beside: None, port, dir: place, child }
    }
}

impl Part {
    /// Has a consumer group commit the beginning of a topic, by the broker's own tool of the version that
    /// nsys installs.
    pub(super) fn commit_group(&self, group: &str, topic: &str) -> Result<(), String> {
        let output = Command::new("java")
            .arg("-cp")
            .arg(nsys::stack::setup::jars_dir().join("*"))
            .arg("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
            .args(["--bootstrap-server", &self.url, "--group", group, "--topic", topic])
            .args(["--reset-offsets", "--to-earliest", "--execute"])
            .output()
            .expect("java starts");
        let said = text(&output);
        if output.status.success() && !said.contains("Error:") { Ok(()) } else { Err(said) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        // In order: PostgreSQL has children of its own.
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let ended = (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            self.child.try_wait().is_ok_and(|ended| ended.is_some())
        });
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What nsys and the service say behind PgBouncer, and what went wrong with it.
pub(super) fn poolers(postgres: &Part) -> Vec<(String, Option<String>)> {
    let Some(program) =
        ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].iter().find(|path| Path::new(path).exists())
    else {
        return Vec::new();
    };
    let ignore = "ignore_startup_parameters = extra_float_digits, options";
    let mut found = Vec::new();
    for (mode, more, wanted, word) in [
        ("transaction", "", 4, "refuses"),
        ("transaction", ignore, 4, "transaction mode"),
        ("session", ignore, 0, "0001"),
    ] {
        let place = tempfile::tempdir().unwrap();
        open_to_all(place.path());
        let (port, file) = (free_port(), place.path().join("pgbouncer.ini"));
        let settings = format!(
            "[databases]\nnotifications = host=127.0.0.1 port={} user=nsys\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nauth_type = any\npool_mode = {mode}\nunix_socket_dir =\n{more}\n",
            postgres.port
        );
        std::fs::write(&file, settings).unwrap();
        let mut child = as_plain(program, place.path()).arg(&file).spawn().unwrap();
        wait_for("PgBouncer", port);
        let url = format!("postgres://nsys@127.0.0.1:{port}/notifications");
        // As many as it takes to meet a session that somebody else had before.
        for turn in 1..=3 {
            let output = command(postgres, &["db", "status"]).env("NSYS_DB__URL", &url).output().unwrap();
            let said = text(&output);
            let holds = output.status.code() == Some(wanted) && said.contains(word);
            found.push((
                format!(
                    "{mode} mode, {}: db status, turn {turn}",
                    if more.is_empty() { "as installed" } else { "settings ignored" }
                ),
                (!holds).then_some(said),
            ));
        }
        found.extend(service(mode, !more.is_empty(), &url, place.path()));
        let _ = child.kill();
        let _ = child.wait();
    }
    found
}

/// The service behind a pooler in transaction mode says at its start why it does not work there.
fn service(mode: &str, is_ready: bool, url: &str, dir: &Path) -> Option<(String, Option<String>)> {
    if mode != "transaction" || !is_ready {
        return None;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_nsys")).with_file_name("notification-service");
    let file = dir.join("service.toml");
    std::fs::write(
        &file,
        format!("[db]\nurl = \"{url}\"\n[kafka]\nbrokers = \"127.0.0.1:1\"\n[cache]\nurl = \"redis://127.0.0.1:1/0\"\n"),
    )
    .unwrap();
    let output = Command::new("timeout")
        .arg("20")
        .arg(program)
        .args(["--role", "worker", "--metrics-listen", "127.0.0.1:0", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let said = text(&output);
    let holds = !output.status.success() && said.contains("pooler in transaction mode");
    Some(("the service, transaction mode".to_owned(), (!holds).then_some(said)))
}
