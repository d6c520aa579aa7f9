//! What the client counted in a level, as estimates: a value of all its slices, and what it would be without
//! each block of them.

use super::metrics::ClientValue;
use crate::domain::distribution::DistributionSum;
use crate::domain::run::{LevelResult, Sample, Slice};
use crate::domain::statistics::{self, Estimate};

/// Slices are put together to blocks so long, in seconds: neighbours depend on each other.
const LONG_BLOCK_S: u64 = 6;
/// Blocks of shorter levels are not shorter than this.
const SHORT_BLOCK_S: u64 = 2;
/// Fewer blocks are made of a short level …
const FEW_BLOCKS: u64 = 8;
/// … and more are not made of a long one.
const MANY_BLOCKS: u64 = 16;

/// Slices that stay together.
#[derive(Clone, Debug, Default)]
pub(in crate::domain) struct Block {
    seconds: u64,
    requests: u64,
    failed: u64,
    due: DistributionSum,
}

/// The length of the blocks that so many measured seconds are cut into.
const fn block_s(seconds: u64) -> u64 {
    let wanted = seconds / FEW_BLOCKS;
    let length = if wanted < SHORT_BLOCK_S {
        SHORT_BLOCK_S
    } else if wanted > LONG_BLOCK_S {
        LONG_BLOCK_S
    } else {
        wanted
    };
    let few = seconds.div_ceil(MANY_BLOCKS);
    if few > length { few } else { length }
}

/// Whether so many measured seconds of one run can be judged against another's.
pub(super) const fn is_long_enough(seconds: u64) -> bool {
    seconds.div_ceil(block_s(seconds)) >= statistics::FEWEST as u64
}

/// The blocks of a level's slices.
pub(in crate::domain) fn blocks(slices: &[Slice]) -> Vec<Block> {
    let seconds: u64 = slices.iter().map(|one| one.seconds).sum();
    let length = block_s(seconds);
    let each = slices.first().map_or(1, |one| one.seconds.max(1));
    let together = usize::try_from(length.div_ceil(each)).unwrap_or(1).max(1);
    let block = |slices: &[Slice]| Block {
        seconds: slices.iter().map(|one| one.seconds).sum(),
        requests: slices.iter().map(|one| one.counts.requests).sum(),
        failed: slices.iter().map(|one| one.counts.failed).sum(),
        due: DistributionSum::of(slices.iter().map(|one| &one.counts.due)),
    };
    slices.chunks(together).map(block).collect()
}

/// A value of all blocks, on the scale on which it is compared. Absent where it cannot be had, also without
/// one of the blocks.
pub(in crate::domain) fn estimate(blocks: &[Block], value: ClientValue) -> Option<Estimate> {
    let sum = |without: Option<usize>, of: fn(&Block) -> u64| -> f64 {
        let others = blocks.iter().enumerate().filter(|(index, _)| Some(*index) != without);
        others.map(|(_, block)| of(block) as f64).sum()
    };
    let mut counts = DistributionSum::default();
    blocks.iter().for_each(|block| counts.add(&block.due));
    statistics::jackknife(blocks.len(), |without| match value {
        ClientValue::Throughput => {
            Some((sum(without, |one| one.requests) / sum(without, |one| one.seconds)).ln())
        }
        ClientValue::Errors => Some(sum(without, |one| one.failed) / sum(without, |one| one.requests)),
        ClientValue::Percentile(share) => {
            let block = without.map(|index| &blocks[index].due);
            block.into_iter().for_each(|block| counts.take(block));
            let found = counts.quantile_ms(share);
            block.into_iter().for_each(|block| counts.add(block));
            found.map(f64::ln)
        }
    })
}

/// A level's own value, as its generator told it.
pub(super) fn value_of(level: &LevelResult, value: ClientValue) -> Option<f64> {
    match value {
        ClientValue::Throughput => Some(level.throughput_rps),
        ClientValue::Errors => level.error_rate.value(),
        ClientValue::Percentile(share) => match share {
            0.5 => level.latency_ms.p50,
            0.95 => level.latency_ms.p95,
            0.99 => level.latency_ms.p99,
            _ => None,
        },
    }
}

/// One second of the client, for runs that keep no slices.
pub(super) fn second(value: ClientValue) -> fn(&Sample) -> Option<f64> {
    match value {
        ClientValue::Throughput => |one| one.client_rps,
        ClientValue::Errors => |one| {
            let (failed, all) = one.client_errors_per_s.zip(one.client_rps).filter(|(_, all)| *all > 0.0)?;
            Some(failed / all)
        },
        ClientValue::Percentile(share) => match share {
            0.5 => |one| one.client_p50_ms,
            0.95 => |one| one.client_p95_ms,
            _ => |one| one.client_p99_ms,
        },
    }
}
