//! Logs of the parts, followed wherever they are kept. What comes in bursts is told together.

use super::UpdateSender;
use crate::domain::log::LogRequest;
use crate::stack::Stack;
use crate::tui::update::Update;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Lines of each log to begin with.
const LINES: usize = 200;
/// Lines of one log that wait to be told; when more come at once, the oldest of them go.
const WAITING: usize = 2_000;
/// How often lines are told.
const SEND_EVERY: Duration = Duration::from_millis(500);
/// How often new parts are looked for, in tells.
const LIST_EVERY: u32 = 10;

type Lines = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

pub(super) async fn run(stack: Arc<Stack>, sender: UpdateSender) {
    let lines = Lines::default();
    let mut following: BTreeMap<String, JoinHandle<()>> = BTreeMap::new();
    let mut ticks = tokio::time::interval(SEND_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut turn = 0_u32;
    loop {
        ticks.tick().await;
        if turn.is_multiple_of(LIST_EVERY) {
            follow(&stack, &lines, &mut following).await;
        }
        turn = turn.wrapping_add(1);
        // Taken out at once, so that the lock is not held while the channel is full.
        let lines = std::mem::take(&mut *lines.lock().expect("no holder of the lock panics"));
        for (part, lines) in lines {
            sender.send(Update::Log { part, lines }).await;
        }
        if sender.to.is_closed() {
            following.values().for_each(JoinHandle::abort);
            return;
        }
    }
}

/// Begins to follow the logs of parts that are new, or whose log ended.
async fn follow(stack: &Arc<Stack>, lines: &Lines, following: &mut BTreeMap<String, JoinHandle<()>>) {
    // Whoever runs the parts is asked by another source, which tells when that fails.
    let Ok(records) = stack.records().await else { return };
    following.retain(|_, task| !task.is_finished());
    for record in records {
        if following.contains_key(&record.name) {
            continue;
        }
        let (stack, lines, part) = (Arc::clone(stack), Arc::clone(lines), record.name.clone());
        let task = tokio::spawn(async move {
            let request = LogRequest { parts: vec![part.clone()], lines: LINES, since: None, follow: true };
            let mut keep = |_: &str, line: &str| {
                let mut lines = lines.lock().expect("no holder of the lock panics");
                let waiting = lines.entry(part.clone()).or_default();
                if waiting.len() == WAITING {
                    waiting.remove(0);
                }
                waiting.push(line.to_owned());
                Ok(())
            };
            // A log that cannot be read is tried again.
            let _ = stack.logs(&request, &mut keep).await;
        });
        following.insert(record.name, task);
    }
}
