//! Integration tests of nsys: the program as a user runs it, on real parts.

// Tests start programs, wait and read the clock as they please.
#![allow(clippy::disallowed_methods)]

mod accuracy;
mod any_stack;
mod api;
mod balancer;
mod chaos;
mod cli;
mod client;
mod dashboards;
mod delivery;
mod deployments;
mod docker;
mod kubernetes;
mod load;
mod matrix;
mod rules;
mod safety;
mod scripts;
mod sink;
mod stack;
mod support;
mod terminal;
mod tidy;
mod truth;
mod tune;
mod watch;
