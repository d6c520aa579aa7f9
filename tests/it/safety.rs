//! What nobody asked for does not happen: on a stack of somebody else, under `--read-only`, on a protected one.

use crate::support::{Place, text};
use crate::tune::sql;
use clap::{CommandFactory, Parser};
use nsys::cli::Cli;
use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Arguments of the commands that want some, or that would otherwise take long or reach beyond the stack.
const ARGUMENTS: &[(&str, &[&str])] = &[
    ("setup", &["--check"]),
    ("up", &["--timeout", "5s"]),
    ("scale", &["app=2"]),
    ("open", &["prometheus", "--print"]),
    ("profile", &["app", "--seconds", "1"]),
    ("profile check", &["--all"]),
    ("watch", &["-o", "json"]),
    ("kafka describe", &["notifications"]),
    ("cache stats", &["--window", "100ms"]),
    ("cache flush", &["--all"]),
    ("flush", &["--all"]),
    ("tune db", &["--indexes"]),
    ("tune kafka", &["--partitions", "64"]),
    ("tune cache", &["--warm", "10"]),
    ("tune service", &["--instances", "2"]),
    ("tune experiment", &["--steps", "db --indexes", "--rates", "10/s:5s"]),
    ("dlq show", &["1"]),
    ("user add", &["new@example.com"]),
    ("user role", &["loadtest@example.com", "ADMIN"]),
    ("metrics get", &["throughput"]),
    ("metrics query", &["up"]),
    ("metrics export", &["--start", "1m"]),
    ("loadtest smoke", &["--rates", "10/s:3s", "--stabilise", "3s"]),
    ("loadtest baseline", &["--rates", "10/s:3s", "--stabilise", "3s"]),
    ("loadtest incremental", &["--rates", "10/s:3s", "--stabilise", "3s"]),
    ("loadtest stress", &["--rates", "10/s:3s", "--stabilise", "3s"]),
    ("loadtest soak", &["--rates", "10/s:3s", "--stabilise", "3s"]),
    ("loadtest find-max", &["--rates", "10/s:3s", "--stabilise", "3s"]),
    ("loadtest plan", &["smoke"]),
    ("loadtest calibrate", &["--rate", "10", "--duration", "3s", "--rounds", "1", "--runs", "0"]),
    ("loadtest rm", &["latest"]),
    ("trace", &["--timeout", "3s"]),
    ("compare", &["latest~1", "latest"]),
    ("verify", &["--against", "latest", "--timeout", "3s"]),
    ("completions", &["bash"]),
];
/// What nsys starts itself, and nobody types.
const INTERNAL: [&str; 2] = ["generate", "supervise"];
/// Commands that run at once.
const AT_ONCE: usize = 4;
/// Nothing takes longer than that without being asked to; what does is ended.
const LONGEST: Duration = Duration::from_secs(20);

/// Every command of the command line with arguments that it takes. A new command is among them by itself.
fn commands() -> Vec<Vec<String>> {
    fn walk(command: &clap::Command, path: &[String], into: &mut Vec<Vec<String>>) {
        for below in command.get_subcommands() {
            let path = [path, &[below.get_name().to_owned()]].concat();
            walk(below, &path, into);
            // Some do something of their own beside their commands.
            if !below.has_subcommands() || below.get_positionals().next().is_some() {
                into.push(path);
            }
        }
    }
    let mut leaves = Vec::new();
    walk(&Cli::command(), &[], &mut leaves);
    let known: BTreeMap<_, _> = ARGUMENTS.iter().copied().collect();
    for name in known.keys() {
        assert!(leaves.iter().any(|path| path.join(" ") == *name), "there is no command {name} any more");
    }
    leaves.retain(|path| !INTERNAL.contains(&path[0].as_str()));
    for path in &mut leaves {
        let arguments = known.get(path.join(" ").as_str()).copied().unwrap_or_default();
        path.extend(arguments.iter().map(|one| (*one).to_owned()));
        let line = std::iter::once("nsys".to_owned()).chain(path.iter().cloned());
        assert!(
            Cli::try_parse_from(line).is_ok(),
            "ARGUMENTS holds nothing that nsys {} takes",
            path.join(" ")
        );
    }
    assert!(leaves.len() > 60, "only {} commands", leaves.len());
    leaves
}

/// Runs a command without anybody to answer, and ends it when it goes on for too long.
fn run(mut command: Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + if is_endless(&command) { Duration::from_secs(3) } else { LONGEST };
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn is_endless(command: &Command) -> bool {
    command.get_args().next().is_some_and(|first| first == "watch")
}

/// nsys of somebody who was told the addresses of this stack, but whose database is another one.
fn visitor(place: &Place, visits: &Place, args: &[&str]) -> Command {
    let at = |port: u16| format!("127.0.0.1:{}", port + place.offset);
    let mut command = visits.command(args);
    command
        .env("NSYS_STACK__RUNTIME", "external")
        .env("NSYS_EXTERNAL__API_URL", format!("http://{}", at(3_000)))
        .env("NSYS_EXTERNAL__PROMETHEUS_URL", format!("http://{}", at(9_090)))
        .env("NSYS_DB__URL", format!("postgres://nsys:{}@{}/shop", place.secret("postgres"), at(5_432)))
        .env("NSYS_CACHE__URL", format!("redis://{}/0", at(6_379)))
        .env("NSYS_KAFKA__BROKERS", at(9_092));
    command
}

/// Schema and rows of a database, or of some of its tables.
fn dump(place: &Place, database: &str, tables: &[&str]) -> String {
    let mut command = Command::new("pg_dump");
    command.args(["-h", "127.0.0.1", "-U", "nsys", "--inserts", "-d", database, "-p"]);
    command.arg((5_432 + place.offset).to_string()).env("PGPASSWORD", place.secret("postgres"));
    for table in tables {
        command.args(["-t", table]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    // These two lines hold a word that is another one each time.
    all.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

fn redis(place: &Place, args: &[&str]) -> String {
    let port = (6_379 + place.offset).to_string();
    let output = Command::new("redis-cli").args(["-p", &port]).args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Keys, but for those that the service itself counts requests with.
fn keys(place: &Place) -> Vec<String> {
    let mut all: Vec<_> = redis(place, &["KEYS", "*"]).lines().map(str::to_owned).collect();
    all.retain(|key| !nsys_contract::keys::PROTECTED_PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
    all.sort();
    all
}

fn topics(place: &Place) -> String {
    place.json(&["kafka", "topics"]).to_string()
}

/// The processes of the parts.
fn pids(place: &Place) -> String {
    let ps = place.json(&["ps"]);
    let parts = ps["parts"].as_array().unwrap().iter();
    parts.map(|one| format!("{} {} {}\n", one["name"], one["pid"], one["container"])).collect()
}

/// Runs every command, a few at a time, because most of them wait. What each said, by its words.
fn run_all(command: impl Fn(&[&str]) -> Command + Sync) -> String {
    let (all, next) = (commands(), AtomicUsize::new(0));
    let work = || {
        let mut said = String::new();
        while let Some(words) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            said.push_str(&format!("nsys {}: {}\n", words.join(" "), text(&run(command(&words)))));
        }
        said
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

/// Names the first line that is another one than before.
fn same(before: &[String], after: &[String], said: &str) {
    for (then, now) in before.iter().zip(after) {
        let changed = then.lines().zip(now.lines()).find(|(then, now)| then != now);
        assert!(then == now, "something changed, first {changed:?}\n{said}");
    }
}

/// Everything that a visitor could have changed.
fn everything(place: &Place) -> [String; 5] {
    [
        dump(place, "shop", &[]),
        dump(place, "notifications", OURS),
        topics(place),
        keys(place).join("\n"),
        sql(place, "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database"),
    ]
}

/// Tables that nothing writes unless somebody asks for something. The service's own jobs are not among them.
const OURS: &[&str] = &["users", "notifications", "dead_letters", "api_keys", "templates", "audit_log"];

#[test]
fn nothing_changes_that_nobody_confirmed() {
    let place = Place::new();
    place.ok(&["up"]);
    on_a_stack_of_somebody_else(&place);
    under_read_only(&place);
    on_a_protected_stack(&place);
}

fn on_a_stack_of_somebody_else(place: &Place) {
    sql(place, "CREATE DATABASE shop");
    let shop = |statement: &str| {
        let output = crate::tune::psql(place).args(["-d", "shop", "-c", statement]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    };
    shop(
        "CREATE TABLE users (id serial PRIMARY KEY, email text, role text);
         CREATE TABLE orders (id serial PRIMARY KEY, user_id int, note text);
         CREATE TABLE notifications (id serial PRIMARY KEY, note text);
         INSERT INTO users (email, role) VALUES ('loadtest@example.com', 'USER'), ('ann@example.com', 'USER');
         INSERT INTO orders (user_id, note) SELECT 1, 'n' || n FROM generate_series(1, 50) n",
    );
    for key in ["notification:1", "user:1", "cart:1"] {
        redis(place, &["SET", key, "v"]);
    }
    let visits = Place::new();
    let before = everything(place);
    let said = run_all(|words| visitor(place, &visits, words));
    same(&before, &everything(place), &said);
    // Not by a yes either: the plan itself is refused.
    for words in [
        vec!["up", "--migrate", "--yes", "--timeout", "5s"],
        vec!["db", "migrate", "--yes"],
        vec!["db", "seed", "--yes"],
        vec!["db", "reset", "--yes"],
        vec!["cache", "flush", "--all", "--yes"],
        vec!["tune", "kafka", "--partitions", "64", "--yes"],
        vec!["user", "bootstrap", "--yes"],
        vec!["loadtest", "smoke", "--yes"],
    ] {
        let output = run(visitor(place, &visits, &words));
        assert_eq!(output.status.code(), Some(4), "{words:?}: {}", text(&output));
        assert!(text(&output).contains("orders"), "{words:?} does not say whose it is: {}", text(&output));
    }
    same(&before, &everything(place), "");
    an_empty_database_is_prepared_by_a_plan(place, &visits);
    sql(place, "DROP DATABASE shop");
    redis(place, &["DEL", "cart:1"]);
}

/// The same visitor with a database that is empty: looked at first, made ready when that was confirmed.
fn an_empty_database_is_prepared_by_a_plan(place: &Place, visits: &Place) {
    sql(place, "CREATE DATABASE fresh");
    let fresh = |words: &[&str]| {
        let mut command = visitor(place, visits, words);
        let url =
            format!("postgres://nsys:{}@127.0.0.1:{}/fresh", place.secret("postgres"), 5_432 + place.offset);
        command.env("NSYS_DB__URL", url);
        run(command)
    };
    let before = dump(place, "fresh", &[]);
    let looked = fresh(&["up", "--timeout", "5s"]);
    assert_eq!(looked.status.code(), Some(4), "{}", text(&looked));
    assert!(text(&looked).contains("nsys up --migrate"), "{}", text(&looked));
    let asked = fresh(&["up", "--migrate", "--timeout", "5s"]);
    assert_eq!(asked.status.code(), Some(4), "{}", text(&asked));
    assert!(text(&asked).contains("migrate the schema from 0 to "), "{}", text(&asked));
    assert_eq!(dump(place, "fresh", &[]), before, "a plan that nobody confirmed was carried out");
    let made = fresh(&["up", "--migrate", "--yes", "--timeout", "20s"]);
    assert!(made.status.success(), "{}", text(&made));
    assert!(fresh(&["up", "--timeout", "20s"]).status.success());
    let within = |statement: &str| {
        let output = crate::tune::psql(place).args(["-d", "fresh", "-c", statement]).output().unwrap();
        assert!(output.status.success(), "{statement}: {}", text(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    // A large table in use, one index of it gone and one left by an interrupted build, when their migration comes.
    within(
        "INSERT INTO notifications (id, user_id, channel, type, priority, status, payload, created_at, updated_at)
         SELECT md5('n' || n)::uuid, 'u', 'EMAIL', 'SYSTEM', 'MEDIUM', 'DELIVERED',
                jsonb_build_object('to', repeat('x', 500)), now(), now() FROM generate_series(1, 20000) AS n;
         DROP INDEX notifications_tenant_created_idx;
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'notifications_tenant_user_idx'::regclass;
         DELETE FROM _sqlx_migrations WHERE version = 7",
    );
    let migrated = fresh(&["db", "migrate", "--yes"]);
    assert!(migrated.status.success(), "{}", text(&migrated));
    let all = "SELECT bool_and(indisvalid) FROM pg_index WHERE indexrelid IN
               ('notifications_tenant_created_idx'::regclass, 'notifications_tenant_user_idx'::regclass)";
    assert_eq!(within(all), "t", "an index that serves nobody was taken for the migration's");
    // What stands beside our tables is somebody's: a reset would take it along.
    within("CREATE TABLE invoices (id int)");
    let reset = fresh(&["db", "reset", "--yes"]);
    assert_eq!(reset.status.code(), Some(4), "{}", text(&reset));
    assert!(text(&reset).contains("invoices"), "{}", text(&reset));
    sql(place, "DROP DATABASE fresh");
}

fn under_read_only(place: &Place) {
    sql(place, "DELETE FROM users");
    let seen = || [dump(place, "notifications", OURS), topics(place), keys(place).join("\n"), pids(place)];
    let before = seen();
    let said = run_all(|words| place.command(&[words, &["--read-only"]].concat()));
    same(&before, &seen(), &said);
    for words in [vec!["token"], vec!["user", "list"], vec!["dlq", "list"], vec!["export", "notifications"]] {
        let output = run(place.command(&[&words[..], &["--read-only"]].concat()));
        assert_eq!(output.status.code(), Some(4), "{words:?}: {}", text(&output));
        assert!(text(&output).contains("loadtest@example.com"), "{words:?}: {}", text(&output));
    }
}

fn on_a_protected_stack(place: &Place) {
    let protected = |words: &[&str]| {
        let mut command = place.command(words);
        command.env("NSYS_STACK__PROTECTED", "true");
        run(command)
    };
    let before = pids(place);
    for words in [
        vec!["down", "--volumes", "--yes"],
        vec!["down"],
        vec!["restart"],
        vec!["restart", "postgres", "--yes"],
        vec!["scale", "app=2"],
        vec!["up"],
        vec!["db", "seed", "--yes"],
        vec!["loadtest", "smoke", "--yes"],
        vec!["loadtest", "calibrate", "--yes"],
        vec!["send"],
        vec!["trace"],
    ] {
        let output = protected(&words);
        assert_eq!(output.status.code(), Some(4), "{words:?}: {}", text(&output));
        assert!(text(&output).contains(&format!("--confirm {}", place.name)), "{words:?}: {}", text(&output));
        assert_eq!(pids(place), before, "{words:?}");
    }
    assert_eq!(sql(place, "SELECT count(*) FROM notifications"), "0", "the data is not what it was");
    let wrong = protected(&["down", "--volumes", "--yes", "--confirm", "another"]);
    assert_eq!(wrong.status.code(), Some(4), "{}", text(&wrong));
    let named = protected(&["down", "--volumes", "--confirm", &place.name]);
    assert!(named.status.success() && text(&named).contains("the data is gone"), "{}", text(&named));
}
