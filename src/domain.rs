//! Plain data and arithmetic. No I/O, no drivers, no runtime.

pub mod catalogue;
pub mod database;
pub mod health;
pub mod lag;
pub mod level;
pub mod run;
pub mod verdict;
