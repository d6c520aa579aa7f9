//! Runs nsys in a state directory and on ports of its own.

mod disk;
mod schema;

pub(crate) use disk::Disk;

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A place to run nsys in; whatever runs there is stopped when it goes.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) offset: u16,
    /// Name of the stack.
    pub(crate) name: String,
    /// Name of the state directory.
    state_dir: &'static str,
}

static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Below the ephemeral ports, and not where another stack listens.
        // Tests run side by side: each looks at other ports than the ones before it.
        let turn = std::process::id() + 7 * NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let first = 10_000 + 100 * u16::try_from(turn % 130).expect("below 130");
        let free = |offset: &u16| {
            [3_000, 5_432, 6_379, 9_090, 9_092, 9_093, 9_401, 9_464]
                .iter()
                .all(|port| std::net::TcpListener::bind(("127.0.0.1", port + offset)).is_ok())
        };
        let offset = (0..130).map(|step| 10_000 + (first - 10_000 + step * 100) % 13_000).find(free);
        let offset = offset.expect("free ports");
        // An engine's projects are the machine's, not the directory's.
        let name = if in_containers() { format!("test{offset}") } else { "test".to_owned() };
        Self { dir, offset, name, state_dir: "state" }
    }

    /// A place whose directory holds what configurations mean something else by.
    pub(crate) fn awkward() -> Self {
        let state_dir = if in_containers() { "state" } else { "o'st [a-z]{1} ä, \"#%20;\\ *" };
        let mut place = Self::new();
        place.state_dir = state_dir;
        place
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nsys"));
        command.args(args).arg("--state-dir").arg(self.dir.path().join(self.state_dir));
        command.current_dir(self.dir.path()).env("NO_COLOR", "1");
        command
            .env("XDG_CONFIG_HOME", self.dir.path().join("none"))
            .env("XDG_STATE_HOME", self.dir.path().join("home"));
        command.env("NSYS_STACK__PORT_OFFSET", self.offset.to_string()).env("NSYS_STACK__NAME", &self.name);
        // Whatever engine this machine has: these tests kill processes.
        command.env("NSYS_STACK__RUNTIME", if in_containers() { "docker" } else { "local" });
        if in_containers() {
            command.env("NSYS_DOCKER__FILES", Self::offline_file());
        }
        command.env("NSYS_LOADTEST__SEED_NOTIFICATIONS", "2000");
        command
    }

    /// The Compose file with the images that need no registry.
    pub(crate) fn offline_file() -> String {
        format!("{}/compose/offline/compose.yaml", env!("CARGO_MANIFEST_DIR"))
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("nsys starts")
    }

    /// Writes the configuration that nsys finds here.
    pub(crate) fn configure(&self, toml: &str) {
        std::fs::write(self.dir.path().join("config.toml"), toml).expect("a configuration");
    }

    /// Runs a command that must succeed; what it said.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
        text(&output)
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["-o", "json"]].concat());
        let answer = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|cause| panic!("{args:?}: {cause}: {}", text(&output)));
        schema::hold(args, &answer);
        answer
    }

    /// Where nsys keeps what it knows of this stack.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join(self.state_dir).join(&self.name)
    }

    /// A secret that nsys made for this stack.
    pub(crate) fn secret(&self, name: &str) -> String {
        let path = self.state().join("secrets").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
    }

    /// The process of a part.
    pub(crate) fn pid(&self, part: &str) -> i32 {
        self.process(part, |_| true).unwrap_or_else(|| panic!("{part} does not run: {}", self.json(&["ps"])))
    }

    /// The process of a part that runs and is as it should be.
    pub(crate) fn running(&self, part: &str) -> Option<i32> {
        self.process(part, |state| state == "running")
    }

    fn process(&self, part: &str, fits: impl Fn(&Value) -> bool) -> Option<i32> {
        let ps = self.json(&["ps"]);
        let parts = ps["parts"].as_array().expect("parts");
        let found = parts.iter().find(|one| one["name"] == part && fits(&one["state"]))?;
        let pid = found["pid"].as_i64().or_else(|| pid_of(found["container"].as_str()?))?;
        i32::try_from(pid).ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run(&["down", "--volumes", "--yes"]);
    }
}

/// nsys in a terminal, with somebody who types.
pub(crate) struct Terminal {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    said: std::sync::Arc<std::sync::Mutex<String>>,
    writer: Box<dyn std::io::Write + Send>,
    reader: std::thread::JoinHandle<()>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Terminal {
    pub(crate) fn new(place: &Place, args: &[&str]) -> Self {
        let size = portable_pty::PtySize { rows: 50, cols: 200, pixel_width: 0, pixel_height: 0 };
        let pair = portable_pty::native_pty_system().openpty(size).expect("a terminal");
        let like = place.command(args);
        let mut command = portable_pty::CommandBuilder::new(like.get_program());
        command.args(like.get_args());
        command.cwd(place.dir.path());
        for (name, value) in like.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let child = pair.slave.spawn_command(command).expect("nsys starts");
        drop(pair.slave);
        let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let (mut from, into) =
            (pair.master.try_clone_reader().expect("a reader"), std::sync::Arc::clone(&said));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            // The end of a pseudo-terminal reads as an error on Linux.
            while let Ok(count @ 1..) = std::io::Read::read(&mut from, &mut bytes) {
                into.lock().expect("no holder panics").push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let writer = pair.master.take_writer().expect("a writer");
        Self { child, said, writer, reader, _master: pair.master }
    }

    fn said(&self) -> String {
        self.said.lock().expect("no holder panics").clone()
    }

    pub(crate) fn wait_for(&mut self, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.said().contains(words) {
            let ended = self.child.try_wait().expect("a child").is_some();
            assert!(!ended && Instant::now() < deadline, "{words:?} never came: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn answer(&mut self, line: &str) {
        writeln!(self.writer, "{line}").expect("nsys reads");
    }

    /// Waits for the end: exit code and all that was said.
    pub(crate) fn end(mut self) -> (u32, String) {
        let code = self.child.wait().expect("a child").exit_code();
        drop(self.writer);
        self.reader.join().expect("the reader ends");
        let said = self.said.lock().expect("no holder panics").clone();
        (code, said)
    }
}

/// Whether the stacks of this run of the tests are containers (`make test-docker`).
pub(crate) fn in_containers() -> bool {
    std::env::var("NSYS_TEST_RUNTIME").is_ok_and(|runtime| runtime == "docker")
}

/// This machine, by the name that the parts of a stack know it by.
pub(crate) fn this_machine() -> &'static str {
    if in_containers() { "host.docker.internal" } else { "localhost" }
}

/// Listens where the parts of a stack reach it: containers do so by the engine's bridge.
pub(crate) fn listen() -> std::net::TcpListener {
    let address = if in_containers() { "0.0.0.0" } else { "127.0.0.1" };
    std::net::TcpListener::bind((address, 0)).expect("a free port")
}

/// A port of this machine that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Waits until something is done, so long at most; `otherwise` says what is wrong when it never is.
pub(crate) fn wait(timeout: Duration, done: impl Fn() -> bool, otherwise: &str) {
    let deadline = Instant::now() + timeout;
    while !done() {
        assert!(Instant::now() < deadline, "{otherwise}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The process of the program in a container on this machine.
fn pid_of(container: &str) -> Option<i64> {
    let inspect = ["inspect", "--format", "{{.State.Pid}}", container];
    let output = Command::new("docker").args(inspect).output().ok()?;
    let first: i64 = String::from_utf8_lossy(&output.stdout).trim().parse().ok().filter(|pid| *pid > 0)?;
    // Where the first process only reaps and passes signals on, the program is its child.
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{first}/{file}")).unwrap_or_default();
    let child = read(&format!("task/{first}/children")).split_whitespace().next().map(str::to_owned);
    if read("comm").trim() == "docker-init" { child?.parse().ok() } else { Some(first) }
}

/// What a command said, for the message of a failed assertion.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Kills without giving a chance to clean up, as the kernel does when memory runs out.
pub(crate) fn kill_9(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}
