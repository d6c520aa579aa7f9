//! The sources: each asks one part on its own, with a time-out, and never ends the program.

mod cache;
mod db;
mod lag;
mod load;
mod logs;
mod machine;
mod parts;
mod service;

use super::update::{Call, Stamped, Update};
use crate::clock::now_s;
use crate::error::Result;
use crate::stack::Stack;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// Longest wait for one answer of a part.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often each part is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a source that broke waits before it begins anew.
const AGAIN: Duration = Duration::from_secs(2);

/// Starts every source. They end when nobody listens any more.
pub(super) fn start(stack: &Stack, to: &Sender<Stamped>) {
    let stack = Arc::new(stack.clone());
    keep("prometheus", &stack, to, service::run, Update::Service);
    keep("kafka", &stack, to, lag::run, Update::Lag);
    keep("postgres", &stack, to, db::run, Update::Db);
    keep("redis", &stack, to, cache::run, Update::Cache);
    keep("supervisor", &stack, to, parts::run, Update::Stack);
    keep("load test", &stack, to, load::run, Update::Load);
    keep("machine", &stack, to, machine::run, Update::Machine);
    keep("logs", &stack, to, logs::run, |_: std::result::Result<(), String>| Update::Log {
        part: String::new(),
        lines: Vec::new(),
    });
}

/// Runs a source. One that panics is told as a failure of its part, and begins anew.
fn keep<T: 'static, Running: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    stack: &Arc<Stack>,
    to: &Sender<Stamped>,
    run: impl Fn(Arc<Stack>, UpdateSender) -> Running + Send + 'static,
    failed: impl Fn(std::result::Result<T, String>) -> Update + Send + 'static,
) {
    let (stack, sender) = (Arc::clone(stack), UpdateSender { to: to.clone() });
    tokio::spawn(async move {
        loop {
            let ended = tokio::spawn(run(Arc::clone(&stack), sender.clone())).await;
            if ended.is_ok() || sender.to.is_closed() {
                return;
            }
            sender.send(failed(Err(format!("{name}: its source crashed and restarts")))).await;
            tokio::time::sleep(AGAIN).await;
        }
    });
}

/// Where a source tells what it was told.
#[derive(Clone, Debug)]
struct UpdateSender {
    to: Sender<Stamped>,
}

impl UpdateSender {
    /// Tells an update; false when nobody listens any more.
    async fn send(&self, update: Update) -> bool {
        self.to.send(Stamped { at_s: now_s(), update }).await.is_ok()
    }

    /// Waits for an answer in bounded time and tells the call as somebody would make it by hand.
    async fn ask<T>(
        &self,
        command: &str,
        answer: impl Future<Output = Result<T>>,
    ) -> std::result::Result<T, String> {
        let started = Instant::now();
        // Every client has its own time-out; this one is for a client that forgets it.
        let answer = match tokio::time::timeout(TIMEOUT * 3, answer).await {
            Ok(answer) => answer.map_err(|error| one_line(&error.message)),
            Err(_) => Err(format!("no answer within {:?}", TIMEOUT * 3)),
        };
        let call = Call {
            command: command.to_owned(),
            took_ms: started.elapsed().as_secs_f64() * 1_000.0,
            error: answer.as_ref().err().cloned(),
        };
        self.send(Update::Call(call)).await;
        answer
    }
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// An address without its password.
fn masked(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
        Some((scheme, (who, place))) => {
            let user = who.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{place}")
        }
        None => url.to_owned(),
    }
}

/// A tick each second; one that was missed is not made up for.
fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn no_password_is_told() {
        assert_eq!(masked("postgres://nsys:secret@h:5432/n"), "postgres://nsys@h:5432/n");
        assert_eq!(masked("postgres://h:5432/n"), "postgres://h:5432/n");
    }
}
