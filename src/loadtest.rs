//! Load tests: the run from its plan to its results. A generator offers the load, nsys watches everything else.

pub mod calibrate;
pub mod changes;
pub mod collect;
pub mod comparison;
mod context;
pub mod engine;
mod environment;
mod find;
pub mod flows;
mod interrupt;
pub mod level;
pub mod logs;
pub mod noise;
pub mod outcome;
pub mod permission;
pub mod plan;
pub mod preflight;
pub mod prometheus;
pub mod provenance;
pub mod run;
pub mod runs;
pub mod sampler;
mod stabilise;
pub mod store;
pub mod stream;
pub mod target;
mod view;
