//! The commands, one file each.

pub mod account;
pub mod audit;
pub mod config;
pub mod demo;
pub mod dev_seed;
pub mod doctor;
pub mod feeds;
pub mod import;
pub mod legal;
pub mod serve;
pub mod serve_apart;
pub mod serve_feeds;
pub mod serve_storage;
pub mod settings;
pub mod status;
pub mod storage;
