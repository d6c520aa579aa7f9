//! What several clients say of one endpoint at one rate: how they agree, and how equal turns differ. Pure.

use super::run::Latency;
use super::statistics;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Up to so many requests per second k6's percentiles are taken to be the service's: beyond, on a machine
/// that k6 shares, they are more and more the waits of k6 itself (docs/LOADTEST.md).
pub const K6_REFERENCE_RPS: u32 = 500;
/// Two clients agree when they differ by at most this share of the larger value …
const AGREED_SHARE: f64 = 0.10;
/// … or by at most this, in ms: what the timer and the scheduler of any machine do.
const AGREED_MS: f64 = 1.0;

/// A percentile by its name.
type Percentile = (&'static str, fn(&Latency) -> Option<f64>);

/// The percentiles that must agree.
const PERCENTILES: [Percentile; 3] = [("p50", |one| one.p50), ("p95", |one| one.p95), ("p99", |one| one.p99)];

/// What measures the endpoint.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Client {
    /// k6, the reference of load tests.
    K6,
    /// nsys' own engine.
    Native,
    /// A client of somebody else's.
    Oha,
}

impl Client {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::K6 => "k6",
            Self::Native => "native",
            Self::Oha => "oha",
        }
    }

    /// Those that measure at this rate: nsys' own engine, and what it is held against there.
    #[must_use]
    pub fn at(rate: u32, oha_can: bool) -> Vec<Self> {
        let mut clients = Vec::new();
        if rate <= K6_REFERENCE_RPS || !oha_can {
            clients.push(Self::K6);
        }
        clients.push(Self::Native);
        if oha_can {
            clients.push(Self::Oha);
        }
        clients
    }
}

/// One client's turn at the endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Turn {
    /// Which client.
    pub client: Client,
    /// Requests of the steady window.
    pub requests: u64,
    /// Requests per second of the steady window.
    pub throughput_rps: f64,
    /// Share of failed requests; null when there was none at all.
    pub error_rate: Option<f64>,
    /// Answer times of the steady window.
    pub latency_ms: Latency,
    /// CPU of the generator in the steady window, per cent of one core.
    pub cpu_pct: Option<f64>,
}

/// One percentile as the clients saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PercentileAgreement {
    /// `p50`, `p95` or `p99`.
    pub percentile: String,
    /// The median of its turns by each client that took part, in ms; null when it has no value.
    pub ms: BTreeMap<Client, Option<f64>>,
    /// Largest difference of two turns of one client, in ms.
    pub between_turns_ms: Option<f64>,
    /// Whether nsys' own engine agrees with each of the others; null when one has no value.
    pub agrees: Option<bool>,
}

impl PercentileAgreement {
    /// What a client saw.
    #[must_use]
    pub fn of(&self, client: Client) -> Option<f64> {
        self.ms.get(&client).copied()?
    }

    /// The largest distance of another client from nsys' own engine, in ms.
    #[must_use]
    pub fn apart_ms(&self) -> Option<f64> {
        let native = self.of(Client::Native)?;
        self.ms.values().filter_map(|ms| Some((ms.as_ref()? - native).abs())).reduce(f64::max)
    }
}

/// How the clients agree. A percentile of several turns is the one of the middle turn: percentiles are
/// never averaged.
#[must_use]
pub fn agreements(turns: &[Turn]) -> Vec<PercentileAgreement> {
    let agreement = |(name, of): &Percentile| {
        let mut all: BTreeMap<Client, Vec<f64>> = BTreeMap::new();
        for turn in turns {
            all.entry(turn.client).or_default().extend(of(&turn.latency_ms));
        }
        let ms = all.iter().map(|(client, values)| (*client, statistics::median(values))).collect();
        PercentileAgreement {
            percentile: (*name).to_owned(),
            between_turns_ms: all.values().filter_map(|values| range(values)).reduce(f64::max),
            agrees: all_agree(&ms),
            ms,
        }
    };
    PERCENTILES.iter().map(agreement).collect()
}

/// Whether each of the others agrees with nsys' own engine.
fn all_agree(ms: &BTreeMap<Client, Option<f64>>) -> Option<bool> {
    let native = ms.get(&Client::Native).copied()??;
    let others = ms.iter().filter(|(client, _)| **client != Client::Native);
    let others: Vec<f64> = others.map(|(_, ms)| *ms).collect::<Option<_>>()?;
    (!others.is_empty()).then(|| others.into_iter().all(|other| agree(native, other)))
}

fn agree(one: f64, two: f64) -> bool {
    (one - two).abs() <= (one.max(two) * AGREED_SHARE).max(AGREED_MS)
}

/// Distance between the smallest and the largest of two values or more.
fn range(values: &[f64]) -> Option<f64> {
    let (least, most) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
    (values.len() > 1).then_some(most - least)
}

/// What a generator makes of a processor: requests for each second of CPU time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Ceiling {
    /// `k6`, `native`, `oha` or `wrk`.
    pub generator: String,
    /// Requests of all its turns.
    pub requests: u64,
    /// Requests per second of CPU time, turn by turn.
    pub turns: Vec<f64>,
    /// The middle one.
    pub per_cpu_s: f64,
}

/// The ceiling of a generator from its turns: requests, and seconds of CPU time. None when no turn
/// used any.
#[must_use]
pub fn ceiling(generator: &str, turns: &[(u64, f64)]) -> Option<Ceiling> {
    let rates: Vec<_> = turns
        .iter()
        .filter(|(_, cpu_s)| *cpu_s > 0.0)
        .map(|(requests, cpu_s)| *requests as f64 / cpu_s)
        .collect();
    Some(Ceiling {
        generator: generator.to_owned(),
        requests: turns.iter().map(|turn| turn.0).sum(),
        per_cpu_s: statistics::median(&rates)?,
        turns: rates,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(client: Client, p50: f64, p99: Option<f64>) -> Turn {
        Turn {
            client,
            requests: 100,
            throughput_rps: 10.0,
            error_rate: Some(0.0),
            latency_ms: Latency { p50: Some(p50), p95: Some(p50 * 2.0), p99, ..Latency::default() },
            cpu_pct: None,
        }
    }

    #[test]
    fn clients_agree_within_a_tenth_or_a_millisecond() {
        let turns = [
            turn(Client::K6, 1.0, Some(200.0)),
            turn(Client::Native, 1.9, Some(215.0)),
            turn(Client::K6, 1.0, Some(200.0)),
            turn(Client::Native, 1.9, Some(215.0)),
        ];
        let found = agreements(&turns);
        let agrees: Vec<_> = found.iter().map(|one| one.agrees).collect();
        assert_eq!(agrees, [Some(true), Some(false), Some(true)]);
        assert_eq!(found[0].between_turns_ms, Some(0.0));
    }

    #[test]
    fn each_of_the_others_must_agree() {
        let turns = [
            turn(Client::K6, 1.0, Some(5.0)),
            turn(Client::Native, 1.0, Some(5.0)),
            turn(Client::Oha, 2.5, Some(5.5)),
        ];
        let found = agreements(&turns);
        let agrees: Vec<_> = found.iter().map(|one| one.agrees).collect();
        assert_eq!(agrees, [Some(false), Some(false), Some(true)]);
        assert_eq!((found[0].of(Client::Oha), found[0].apart_ms()), (Some(2.5), Some(1.5)));
        assert_eq!(agreements(&turns[1..2])[0].agrees, None, "nothing to be held against");
    }

    #[test]
    fn k6_is_held_against_where_it_measures_well_or_nothing_else_is_there() {
        use Client::{K6, Native, Oha};
        assert_eq!(Client::at(500, true), [K6, Native, Oha]);
        assert_eq!(Client::at(501, true), [Native, Oha]);
        assert_eq!(Client::at(12_000, false), [K6, Native]);
    }

    #[test]
    fn the_middle_turn_speaks_and_a_missing_value_is_no_agreement() {
        let turns = [
            turn(Client::K6, 1.0, None),
            turn(Client::K6, 9.0, None),
            turn(Client::K6, 2.0, None),
            turn(Client::Native, 2.0, Some(3.0)),
        ];
        let found = agreements(&turns);
        assert_eq!((found[0].of(Client::K6), found[0].between_turns_ms), (Some(2.0), Some(8.0)));
        assert_eq!((found[2].of(Client::K6), found[2].agrees), (None, None));
    }

    #[test]
    fn a_ceiling_is_that_of_the_middle_turn_and_needs_one() {
        let found = ceiling("wrk", &[(1_000, 0.1), (3_000, 0.1), (2_000, 0.1), (5, 0.0)]).unwrap();
        assert_eq!((found.per_cpu_s.round(), found.requests), (20_000.0, 6_005));
        assert_eq!(ceiling("wrk", &[]), None);
    }
}
