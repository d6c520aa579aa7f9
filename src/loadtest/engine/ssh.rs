//! k6 on other machines, by SSH: each host runs its segment, held by the connection. When that goes,
//! for whatever reason, k6 there ends, so that no killed nsys leaves load behind.

use super::k6::{LEVEL, arguments, free_port};
use super::{GeneratorProcesses, News, Offer, Where, live, summary_file};
use crate::clients::program::{Purpose, command};
use crate::config::Config;
use crate::error::{Context, Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::io::{PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::Receiver;

/// A host that does not answer by then does not count on being there.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How other machines are reached, and what they have.
#[derive(Clone, Debug, Default)]
pub struct Far {
    /// The ssh program and its options.
    pub ssh: Vec<String>,
    /// k6 there.
    pub k6: String,
    /// The cluster.
    pub cluster: Where,
}

impl Far {
    /// As the configuration says.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let (load, kubernetes) = (&config.loadtest, &config.kubernetes);
        let cluster = Where {
            context: kubernetes.context.clone(),
            namespace: kubernetes.namespace.clone(),
            image: load.k6_image.clone(),
        };
        let ssh = load.ssh.split_whitespace().map(str::to_owned).collect();
        Self { ssh, k6: load.remote_k6.clone(), cluster }
    }

    fn command(&self, options: &[String], host: &str, script: &str) -> Result<Command> {
        let (program, own) =
            self.ssh.split_first().ok_or_else(|| Error::usage("loadtest.ssh names no program"))?;
        let mut command = command(Purpose::User, program);
        // Nobody is there to type a password.
        command.args(own).args(["-o", "BatchMode=yes", "-T"]).args(options).args(["--", host, script]);
        Ok(command)
    }
}

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteHost {
    /// What its k6 says.
    pub k6: String,
    /// Processors.
    pub cpus: usize,
    /// Memory that is available, in MiB.
    pub memory_mb: Option<f64>,
    /// Most files one process may open.
    pub files: Option<u64>,
    /// Its clock before ours, in seconds.
    pub ahead_s: Option<f64>,
}

/// Asks a host what it is.
///
/// # Errors
/// Unreachable when it does not answer; failed when it has no k6.
pub async fn probe(far: &Far, host: &str) -> Result<RemoteHost> {
    let script = format!(
        "{} version | head -n 1; nproc; awk '/MemAvailable/ {{print $2}}' /proc/meminfo; ulimit -Hn; date +%s.%N",
        quoted(&far.k6)
    );
    let mut command = far.command(&[], host, &script)?;
    // The timeout only drops the wait: without this ssh would go on.
    command.stdin(Stdio::null()).kill_on_drop(true);
    let asked = crate::clock::now_s();
    let output = tokio::time::timeout(TIMEOUT, command.output()).await;
    let output = output
        .map_err(|_| Error::unreachable(format!("{host} did not answer within {TIMEOUT:?}")))?
        .with_context(|| format!("cannot start {}", far.ssh.join(" ")))?;
    let answered = crate::clock::now_s();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let last = wrong.trim().lines().last().unwrap_or("it said nothing").to_owned();
    // 255 is ssh's own.
    if output.status.code() == Some(255) {
        return Err(Error::unreachable(format!("{host}: {last}")).hint(format!("ssh {host}")));
    }
    machine_of(&said, f64::midpoint(asked, answered))
        .ok_or_else(|| Error::failed(format!("{host} has no k6: {last}")).hint("loadtest.remote_k6"))
}

fn machine_of(said: &str, at_s: f64) -> Option<RemoteHost> {
    let mut lines = said.lines().map(str::trim);
    let k6 = lines.next().filter(|line| line.starts_with("k6"))?.to_owned();
    let cpus = lines.next()?.parse().ok()?;
    let memory_mb = lines.next()?.parse::<f64>().ok().map(|kib| kib / 1_024.0);
    let files = lines.next()?.parse().ok();
    let ahead_s = lines.next().and_then(|time| time.parse::<f64>().ok()).map(|time| time - at_s);
    Some(RemoteHost { k6, cpus, memory_mb, files, ahead_s })
}

/// Starts the segments, one on each host.
pub(super) fn start(offer: &Offer, hosts: &[String]) -> Result<(GeneratorProcesses, Receiver<News>)> {
    let (mut children, mut leashes, mut dashboards) = (Vec::new(), Vec::new(), Vec::new());
    for (index, host) in (0_u32..).zip(hosts) {
        let (here, there) = (free_port()?, free_port()?);
        let (child, leash) = spawn(offer, host, index, here, there)?;
        children.push(child);
        leashes.push(leash);
        dashboards.push(here);
    }
    let news = live::listen(dashboards);
    Ok((GeneratorProcesses::held(children, leashes)?, news))
}

fn spawn(offer: &Offer, host: &str, index: u32, here: u16, there: u16) -> Result<(Child, PipeWriter)> {
    let mut told = offer.plan.clone();
    // Its summary is all that k6 says on standard output.
    (told["summary"], told["several"]) = (json!("stdout"), json!(offer.generators > 1));
    let script = held_script(&offer.far.k6, &arguments(index, offer.generators), there);
    let tunnel = ["-L".to_owned(), format!("127.0.0.1:{here}:127.0.0.1:{there}")];
    let mut command = offer.far.command(&tunnel, host, &script)?;
    let (input, mut leash) = std::io::pipe().context("no pipe")?;
    // A line each, and less than a pipe holds; the token in the plan is on no command line.
    writeln!(leash, "{told}\n{}", STANDARD.encode(LEVEL)).context("cannot tell the plan")?;
    let summary = summary_file(&offer.work, index);
    let file = |path: &Path| {
        std::fs::File::create(path).with_context(|| format!("cannot create {}", path.display()))
    };
    command.stdin(input).stdout(file(&summary)?).stderr(file(&log(offer, index))?).process_group(0);
    let child = command.spawn().with_context(|| format!("cannot start {}", offer.far.ssh.join(" ")))?;
    Ok((child, leash))
}

/// What a host said beside its summary.
fn log(offer: &Offer, index: u32) -> PathBuf {
    if index == 0 { offer.log.clone() } else { offer.log.with_extension(format!("{}.log", index + 1)) }
}

/// CPU time that the busiest generator used over the whole level, in seconds; none when one of them did
/// not tell.
pub(super) fn cpu_s(offer: &Offer) -> Option<f64> {
    let told = |index| cpu_of(&std::fs::read_to_string(log(offer, index)).ok()?);
    let told: Option<Vec<_>> = (0..offer.generators).map(told).collect();
    told?.into_iter().reduce(f64::max)
}

/// The last line of `times` is what the children used: `0m1.230000s 0m0.340000s`.
fn cpu_of(log: &str) -> Option<f64> {
    let span = |word: &str| {
        let (minutes, seconds) = word.strip_suffix('s')?.split_once('m')?;
        Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
    };
    let mut words = log.lines().last()?.split_whitespace();
    Some(span(words.next()?)? + span(words.next()?)?)
}

/// One word of a shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// What runs on the host: k6 as long as somebody holds the other end of standard input.
fn held_script(k6: &str, arguments: &[String], dashboard: u16) -> String {
    // A shell gives its background jobs /dev/null to read, so the leash reads a copy of the input, 3.
    // `env -i`: variables of that host would be stronger than the script.
    let arguments: Vec<_> = arguments.iter().map(|one| quoted(one)).collect();
    format!(
        r#"umask 077
dir=$(mktemp -d) && cd "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
IFS= read -r plan && printf '%s' "$plan" > plan.json
IFS= read -r script && printf '%s' "$script" | base64 -d > level.js
exec 3<&0
env -i PATH="$PATH" HOME="$dir" LC_ALL=C.UTF-8 TZ=UTC \
NSYS_PLAN="$dir/plan.json" K6_NO_USAGE_REPORT=true K6_WEB_DASHBOARD=true K6_WEB_DASHBOARD_PERIOD=1s \
K6_WEB_DASHBOARD_HOST=127.0.0.1 K6_WEB_DASHBOARD_PORT={dashboard} \
{k6} {} --address 127.0.0.1:0 level.js </dev/null 3<&- &
k6=$!
{{ cat <&3; kill -INT "$k6"; }} >/dev/null 2>&1 &
leash=$!
exec 3<&-
wait "$k6"; code=$?
kill "$leash" 2>/dev/null
times >&2
exit "$code""#,
        arguments.join(" "),
        k6 = quoted(k6),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_says_what_it_is_and_one_without_k6_is_none() {
        let said = "k6 v1.1.0 (go1.24.3)\n4\n2048000\n20000\n1000.5\n";
        let found = machine_of(said, 1_000.0).unwrap();
        assert_eq!((found.cpus, found.memory_mb, found.files), (4, Some(2_000.0), Some(20_000)));
        assert_eq!(found.ahead_s, Some(0.5));
        assert_eq!(machine_of("4\n2048000\n20000\n1000.5\n", 1_000.0), None);
        let unlimited = machine_of("k6 v1\n4\n1\nunlimited\n1\n", 1.0).unwrap();
        assert_eq!(unlimited.files, None);
    }

    #[test]
    fn what_a_shell_splits_stays_one_word() {
        assert_eq!(quoted("it's $x"), r"'it'\''s $x'");
        let script = held_script("/opt/my k6", &["--a".into(), "0:1/2".into()], 99);
        assert!(script.contains("'/opt/my k6' '--a' '0:1/2' --address 127.0.0.1:0"), "{script}");
    }

    #[test]
    fn the_time_of_the_children_is_the_last_line() {
        assert_eq!(cpu_of("hello\n0m0.01s 0m0.02s\n1m1.5s 0m0.5s\n"), Some(62.0));
        assert_eq!(cpu_of("time=x level=error\n"), None);
    }
}
