//! Tests through the binary: what a user or a bridge sees.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests write, remove and wait as they like in their own temporary world"
)]

mod artifacts_homes;
mod artifacts_prune;
mod artifacts_report;
mod artifacts_world;
mod bad_input;
mod beside_others;
mod bridge;
mod containers;
mod crash;
mod daemon;
mod daemon_world;
mod demo;
mod doctor;
mod doctor_queues;
mod heartbeat;
mod identity;
mod killing;
mod left_behind;
mod live_bridge;
mod machine;
mod numbered;
mod plugin;
mod post_prune;
mod processes_clean;
mod processes_config;
mod processes_endings;
mod processes_facts;
mod processes_hook_ends;
mod processes_hooks;
mod processes_kept;
mod processes_many;
mod processes_odd;
mod processes_records;
mod processes_scan;
mod processes_snapshots;
mod processes_start;
mod processes_sweep;
mod processes_vendors;
mod processes_verdict;
mod processes_world;
mod provider_rows;
mod prune;
mod queues_config;
mod queues_containers;
mod queues_engine;
mod queues_guest;
mod queues_refused;
mod queues_repairs;
mod queues_schemas;
mod queues_snapshots;
mod queues_table;
mod queues_world;
mod queues_world_itself;
mod queues_writers;
mod real_trees;
mod record;
mod registry;
mod registry_cleanup;
mod registry_stress;
mod registry_world;
mod resolve;
mod restore;
mod scheduled;
mod shapes;
mod snapshots;
mod states;
mod status;
mod sweep;
mod terminal;
mod test_bridge;
mod tree;
mod window;
mod world;
mod writing;
