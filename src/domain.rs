//! Plain data and arithmetic. No I/O, no drivers, no runtime.

pub mod health;
pub mod lag;
