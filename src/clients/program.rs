//! Starts other programs, and nobody else does. What a program is told by its environment is chosen
//! here, by what it is for; the shell that nsys was called from is no part of it.

use crate::process_env;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use tokio::process::Command;

/// Where the programs that a program calls are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program is for; decides what of the caller's environment it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A part of the stack, or a tool that makes its data: nothing.
    Part,
    /// Offers load: the authorities that it trusts, and nothing that could change a plan.
    Load,
    /// Fetches, builds or installs: home, proxies, indexes.
    Setup,
    /// Talks to a container engine or a cluster: the way there and to its registry, with the helpers that
    /// hold its credentials.
    Engine,
    /// Is the user's own, or nsys again: everything.
    User,
}

impl Purpose {
    /// Whether this variable of the caller is passed on.
    fn passes(self, name: &str) -> bool {
        let (exact, prefixes): (&[&str], &[&str]) = match self {
            Self::Part => (&[], &[]),
            Self::Load => (&["SSL_CERT_FILE", "SSL_CERT_DIR"], &[]),
            Self::Setup => (
                &[
                    "PATH",
                    "HOME",
                    "USER",
                    "LOGNAME",
                    "TMPDIR",
                    "NETRC",
                    "SSL_CERT_FILE",
                    "SSL_CERT_DIR",
                    "REQUESTS_CA_BUNDLE",
                    "CURL_CA_BUNDLE",
                    "JAVA_HOME",
                    "JAVA_TOOL_OPTIONS",
                    "APT_CONFIG",
                    "HTTP_PROXY",
                    "HTTPS_PROXY",
                    "FTP_PROXY",
                    "ALL_PROXY",
                    "NO_PROXY",
                    "http_proxy",
                    "https_proxy",
                    "ftp_proxy",
                    "all_proxy",
                    "no_proxy",
                ],
                &["XDG_", "PIP_", "UV_", "MAVEN_", "MVN_", "GO"],
            ),
            Self::Engine => (
                &[
                    "PATH",
                    "HOME",
                    "USER",
                    "XDG_CONFIG_HOME",
                    "XDG_DATA_HOME",
                    "XDG_RUNTIME_DIR",
                    "DBUS_SESSION_BUS_ADDRESS",
                    "GNUPGHOME",
                    "PASSWORD_STORE_DIR",
                    "SSH_AUTH_SOCK",
                    "SSL_CERT_FILE",
                    "SSL_CERT_DIR",
                    "KUBECONFIG",
                    "HTTP_PROXY",
                    "HTTPS_PROXY",
                    "ALL_PROXY",
                    "NO_PROXY",
                    "http_proxy",
                    "https_proxy",
                    "all_proxy",
                    "no_proxy",
                ],
                &["DOCKER_", "CONTAINER_", "AWS_"],
            ),
            Self::User => (&[], &[""]),
        };
        exact.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// The whole environment of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildEnvironment(BTreeMap<OsString, OsString>);

impl ChildEnvironment {
    /// What a program for this purpose is told.
    #[must_use]
    pub fn new(purpose: Purpose) -> Self {
        Self::chosen(purpose, process_env::all_os())
    }

    fn chosen(purpose: Purpose, caller: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut chosen = BTreeMap::new();
        if purpose != Purpose::User {
            // Messages and numbers that can be read, times that can be compared.
            for (name, value) in [("PATH", PATH), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC")] {
                chosen.insert(name.into(), value.into());
            }
        }
        chosen.extend(caller.into_iter().filter(|(name, _)| purpose.passes(&name.to_string_lossy())));
        Self(chosen)
    }

    /// Exactly these variables.
    #[must_use]
    pub fn exactly(pairs: &[(String, String)]) -> Self {
        Self(pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// With one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Name and value of each variable, in the order of the names.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        let text = |text: &OsString| text.to_string_lossy().into_owned();
        self.0.iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    /// The command that runs this program in this environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.blocking(program).into()
    }

    /// The same, for who cannot wait asynchronously.
    pub fn blocking(&self, program: impl AsRef<OsStr>) -> std::process::Command {
        // The caller's PATH says where a program is, also where the program itself gets another one.
        let program = on_path(program.as_ref()).map_or_else(|| program.as_ref().to_owned(), PathBuf::into);
        #[expect(clippy::disallowed_methods, reason = "the one place that starts programs")]
        let mut command = std::process::Command::new(program);
        command.env_clear().envs(&self.0);
        command
    }
}

/// The command that runs a program for this purpose.
pub fn command(purpose: Purpose, program: impl AsRef<OsStr>) -> Command {
    ChildEnvironment::new(purpose).command(program)
}

/// The same, for who cannot wait asynchronously.
pub fn blocking(purpose: Purpose, program: impl AsRef<OsStr>) -> std::process::Command {
    ChildEnvironment::new(purpose).blocking(program)
}

/// Every program of this name on the caller's PATH, the first one first; none for a path.
pub fn all_on_path(program: &OsStr) -> impl Iterator<Item = PathBuf> {
    let bare = !program.as_encoded_bytes().contains(&b'/');
    let path = process_env::var_os("PATH").filter(|_| bare).unwrap_or_default();
    let found: Vec<_> = std::env::split_paths(&path).map(|dir| dir.join(program)).collect();
    found.into_iter().filter(|file| file.is_absolute() && file.is_file())
}

/// The first of them.
#[must_use]
pub fn on_path(program: &OsStr) -> Option<PathBuf> {
    all_on_path(program).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell that is set up in every way that was seen to change something.
    fn shell(path: &str) -> Vec<(OsString, OsString)> {
        [
            ("PATH", path),
            ("HOME", "/home/me"),
            ("LANG", "de_DE.UTF-8"),
            ("TZ", "Asia/Tokyo"),
            ("LD_PRELOAD", "/lib/odd.so"),
            ("PGOPTIONS", "-c statement_timeout=1"),
            ("JAVA_TOOL_OPTIONS", "-Xmx16m"),
            ("GOMAXPROCS", "1"),
            ("https_proxy", "http://proxy"),
            ("COMPOSE_PROFILES", "all"),
            ("DOCKER_HOST", "unix:///run/own.sock"),
            ("K6_ITERATIONS", "3"),
            ("K6_RPS", "1"),
            ("K6_DURATION", "3s"),
            ("K6_NO_SUMMARY", "true"),
            ("K6_SUMMARY_TREND_STATS", "avg"),
            ("K6_CONFIG", "/home/me/k6.json"),
            ("XDG_CONFIG_HOME", "/home/me/.config"),
            ("SSL_CERT_FILE", "/etc/own.pem"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
    }

    fn names(purpose: Purpose) -> Vec<String> {
        let pairs = ChildEnvironment::chosen(purpose, shell("/opt/bin")).pairs();
        pairs.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_part_is_the_same_whatever_the_shell() {
        let one = ChildEnvironment::chosen(Purpose::Part, shell("/usr/bin"));
        assert_eq!(one, ChildEnvironment::chosen(Purpose::Part, shell("/opt/bin:/opt/bin")));
        assert_eq!(one, ChildEnvironment::chosen(Purpose::Part, []));
        assert_eq!(names(Purpose::Part), ["LC_ALL", "PATH", "TZ"]);
    }

    #[test]
    fn no_variable_of_the_shell_changes_a_plan() {
        assert_eq!(names(Purpose::Load), ["LC_ALL", "PATH", "SSL_CERT_FILE", "TZ"]);
    }

    #[test]
    fn tools_get_the_way_to_what_they_talk_to() {
        let engine = names(Purpose::Engine);
        assert!(
            ["HOME", "DOCKER_HOST", "https_proxy"].iter().all(|name| engine.iter().any(|one| one == name)),
            "{engine:?}"
        );
        assert!(
            !engine.iter().any(|name| name.starts_with("COMPOSE_") || name == "LD_PRELOAD"),
            "{engine:?}"
        );
        let setup = names(Purpose::Setup);
        let wanted = ["HOME", "https_proxy", "JAVA_TOOL_OPTIONS"];
        assert!(wanted.iter().all(|name| setup.iter().any(|one| one == name)), "{setup:?}");
        assert!(!setup.iter().any(|name| name.starts_with("PG") || name.starts_with("K6")), "{setup:?}");
        let own = ChildEnvironment::chosen(Purpose::User, shell("/opt/bin")).pairs();
        assert_eq!(own.len(), shell("").len());
    }

    #[test]
    fn a_program_starts_with_nothing_else() {
        let environment = ChildEnvironment::chosen(Purpose::Load, shell("/opt/bin")).with("GIVEN", "yes");
        let output = environment.blocking("/usr/bin/env").output().unwrap();
        let mut lines: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
        lines.sort_unstable();
        let path = format!("PATH={PATH}");
        assert_eq!(lines, ["GIVEN=yes", "LC_ALL=C.UTF-8", &path, "SSL_CERT_FILE=/etc/own.pem", "TZ=UTC"]);
    }
}
