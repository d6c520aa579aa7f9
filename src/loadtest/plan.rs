//! From a request and the configuration to the plan of a run.

use crate::config::LoadtestSection;
use crate::domain::level::{Level, Model};
use crate::domain::request::LoadRequest;
use crate::domain::scenario::{GeneratorPlacement, LoadEngine, LoadPlan, Scenario};
use crate::domain::stop::StopRule;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// The plan that a request and the configuration describe.
///
/// # Errors
/// When a level, a rule or a tag cannot be read, or parts of the request contradict each other.
pub fn plan(scenario: Scenario, request: &LoadRequest, settings: &LoadtestSection) -> Result<LoadPlan> {
    let (model, levels) = levels(scenario, request, settings)?;
    let engine = request.engine.unwrap_or(settings.engine);
    let stop = if request.stop.is_empty() { settings.stop.clone() } else { request.stop.clone() };
    for rule in &stop {
        StopRule::parse(rule).map_err(Error::usage)?;
    }
    let (place, generators) = place(engine, request, settings)?;
    if let Some(small) = levels.iter().find(|level| level.vus < generators) {
        return Err(Error::usage(format!(
            "{generators} generators: a level of {} has only {} virtual users to share",
            small.load(),
            small.vus
        )));
    }
    Ok(LoadPlan {
        scenario,
        model,
        engine,
        levels,
        stabilise_s: request.stabilise.unwrap_or(settings.stabilise_timeout).as_secs(),
        stop,
        before_level: request.before_level.clone(),
        reconcile: request.reconcile,
        generators,
        place,
        note: request.note.clone(),
        engineer: request.engineer.clone(),
        tags: tags(&request.tags)?,
    })
}

/// Where generators run, and how many: on this machine as many as are asked for, on other hosts one on
/// each; without hosts the stack must be in a cluster, which the preflight knows.
fn place(
    engine: LoadEngine,
    request: &LoadRequest,
    settings: &LoadtestSection,
) -> Result<(GeneratorPlacement, u32)> {
    if !request.distributed {
        // A request that came from no flags, as that of a verification, names none.
        return Ok((GeneratorPlacement::Here, request.generators.max(1)));
    }
    if engine == LoadEngine::Native {
        return Err(Error::usage("--distributed starts k6 on the hosts, not the native engine")
            .hint("--engine k6, or --generators N for several native ones on this machine"));
    }
    if settings.hosts.is_empty() {
        return Ok((GeneratorPlacement::Cluster, settings.cluster_runners.max(1)));
    }
    let count = u32::try_from(settings.hosts.len()).unwrap_or(u32::MAX);
    Ok((GeneratorPlacement::Hosts(settings.hosts.clone()), count))
}

fn levels(
    scenario: Scenario,
    request: &LoadRequest,
    settings: &LoadtestSection,
) -> Result<(Model, Vec<Level>)> {
    let (model, levels) = if request.levels.is_empty() {
        let configured = settings.levels(scenario, request.quick);
        let texts = match (request.rates.as_slice(), configured) {
            ([], Some((_, texts))) => texts,
            (given, _) => given,
        };
        let levels = texts.iter().map(|text| Level::by_rate(text).map_err(Error::usage));
        (Model::Open, levels.collect::<Result<Vec<_>>>()?)
    } else {
        let levels = request.levels.iter().map(|text| Level::by_users(text).map_err(Error::usage));
        (Model::Closed, levels.collect::<Result<Vec<_>>>()?)
    };
    let (model, levels) = in_model(model, levels, request)?;
    match (scenario, model) {
        (Scenario::Spike, _) => Ok((model, vec![Level::spike(&levels).map_err(Error::usage)?])),
        (Scenario::FindMax, Model::Closed) => {
            Err(Error::usage("find-max searches a rate, so it cannot run the closed model"))
        }
        (Scenario::FindMax, Model::Open) => {
            let first = levels.into_iter().next();
            let seconds = settings.find_probe.as_secs().max(2);
            Ok((model, vec![first.unwrap_or_else(|| Level::open(settings.find_first.max(1), seconds))]))
        }
        _ => Ok((model, levels)),
    }
}

/// `--model` turns the configured levels from rates to virtual users; against given ones it is an error.
fn in_model(model: Model, mut levels: Vec<Level>, request: &LoadRequest) -> Result<(Model, Vec<Level>)> {
    match (request.model, model) {
        (Some(Model::Open), Model::Closed) => {
            Err(Error::usage("--levels are virtual users, the closed model").hint("--rates 1000/s:5m"))
        }
        (Some(Model::Closed), Model::Open) if !request.rates.is_empty() => {
            Err(Error::usage("--rates are the open model").hint("--levels 100:5m"))
        }
        (Some(Model::Closed), Model::Open) => {
            for level in &mut levels {
                level.rate = None;
            }
            Ok((Model::Closed, levels))
        }
        _ => Ok((model, levels)),
    }
}

fn tags(texts: &[String]) -> Result<BTreeMap<String, String>> {
    let read = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Error::usage(format!("--tag {text:?} is not KEY=VALUE"))),
    };
    texts.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> LoadtestSection {
        let config: crate::config::Config = toml::from_str(crate::config::DEFAULTS).unwrap();
        config.loadtest
    }

    fn plan_of(scenario: Scenario, change: impl FnOnce(&mut LoadRequest)) -> Result<LoadPlan> {
        let mut request = LoadRequest::default();
        change(&mut request);
        plan(scenario, &request, &settings())
    }

    #[test]
    fn the_defaults_are_the_guide_s_levels() {
        let plan = plan_of(Scenario::Incremental, |_| ()).unwrap();
        assert_eq!(plan.generators, 1);
        let levels: Vec<_> =
            plan.levels.iter().map(|one| (one.vus, one.rate.unwrap(), one.seconds)).collect();
        assert_eq!(
            levels,
            [
                (100, 1_000, 300),
                (500, 5_000, 600),
                (1_000, 10_000, 600),
                (2_500, 25_000, 600),
                (5_000, 50_000, 600),
                (10_000, 100_000, 300)
            ]
        );
        assert_eq!(plan_of(Scenario::Baseline, |_| ()).unwrap().seconds(), 900);
        assert_eq!(plan_of(Scenario::Spike, |_| ()).unwrap().seconds(), 600);
        assert_eq!(plan_of(Scenario::Soak, |_| ()).unwrap().seconds(), 3_600);
    }

    #[test]
    fn the_closed_model_keeps_the_users_of_the_levels() {
        let plan = plan_of(Scenario::Incremental, |request| request.model = Some(Model::Closed)).unwrap();
        assert_eq!((plan.model, plan.levels[5].vus, plan.levels[5].rate), (Model::Closed, 10_000, None));
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        let wrong: [fn(&mut LoadRequest); 4] = [
            |request| {
                request.levels = vec!["10:5s".into()];
                request.model = Some(Model::Open);
            },
            |request| {
                request.rates = vec!["10/s:5s".into()];
                request.model = Some(Model::Closed);
            },
            |request| request.tags = vec!["x".into()],
            |request| request.stop = vec!["p99 > 3".into()],
        ];
        for change in wrong {
            assert_eq!(plan_of(Scenario::Baseline, change).unwrap_err().kind, crate::error::ErrorKind::Usage);
        }
        let closed = plan_of(Scenario::FindMax, |request| request.levels = vec!["10:5s".into()]);
        assert!(closed.unwrap_err().message.contains("searches a rate"));
    }

    #[test]
    fn a_search_begins_where_it_is_told() {
        let plan = plan_of(Scenario::FindMax, |request| request.rates = vec!["50/s:5s".into()]).unwrap();
        assert_eq!((plan.levels.len(), plan.levels[0].rate), (1, Some(50)));
        assert_eq!(plan_of(Scenario::FindMax, |_| ()).unwrap().levels[0].rate, Some(200));
    }
}
