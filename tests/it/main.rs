//! Fast tests of what the repository and the command line promise. One binary, since
//! linking takes longer than running.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod analyze;
mod cli;
mod config;
mod docs;
mod drill_doubles;
mod generated;
mod lexer;
mod pages;
mod reader;
mod said;
mod tidy;
