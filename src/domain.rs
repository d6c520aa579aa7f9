//! Plain data and arithmetic. No I/O, no drivers, no runtime.

pub mod advice;
pub mod cache;
pub mod catalogue;
pub mod compare;
pub mod container;
pub mod database;
pub mod diagnosis;
pub mod experiment;
pub mod facts;
pub mod group;
pub mod health;
pub mod index;
pub mod lag;
pub mod level;
pub mod partitioner;
pub mod run;
pub mod snapshot;
pub mod statistics;
pub mod usage;
pub mod usl;
pub mod verdict;
