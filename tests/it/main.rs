//! Integration tests of nsys: the program as a user runs it, on real parts.

mod cli;
mod stack;
mod support;
mod terminal;
mod tidy;
mod tune;
