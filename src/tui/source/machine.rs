//! The machine that the stack runs on, where that is this one.

use super::{UpdateSender, ticks};
use crate::clients::{machine, process};
use crate::stack::Stack;
use crate::tui::update::{MachineSample, Update};
use std::sync::Arc;

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

pub(super) async fn run(stack: Arc<Stack>, sender: UpdateSender) {
    let mut before = None;
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        // The processors of another machine are not to be had from here.
        if !stack.runtime.is_here() {
            return;
        }
        let now = machine::cpu_time_s();
        let cpu_pct = before.zip(now).and_then(|(before, now)| busy_pct(before, now));
        before = now;
        let limit = process::machine_memory();
        let free = process::available_memory_mb().map(|mib| (mib * MIB) as u64);
        let machine = MachineSample {
            cpu_pct,
            memory_bytes: limit.zip(free).map(|(limit, free)| limit.saturating_sub(free)),
            memory_limit_bytes: limit,
        };
        if !sender.send(Update::Machine(Ok(machine))).await {
            return;
        }
    }
}

/// Busy and all time at two looks, as per cent of all cores in between.
fn busy_pct((busy_before, all_before): (f64, f64), (busy, all): (f64, f64)) -> Option<f64> {
    let passed = all - all_before;
    (passed > 0.0).then(|| ((busy - busy_before) / passed * 100.0).clamp(0.0, 100.0))
}

#[cfg(test)]
mod tests {
    use super::busy_pct;

    #[test]
    fn busy_is_of_the_time_in_between() {
        assert_eq!(busy_pct((10.0, 100.0), (11.0, 102.0)), Some(50.0));
        assert_eq!(busy_pct((10.0, 100.0), (10.0, 100.0)), None);
    }
}
