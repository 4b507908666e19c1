//! Moves a cluster's control plane into a shared etcd, from sleep to presigned URL, with rollback.
//!
//! ```text
//! config -> flow: rehearse | run | rollback | resume | finish      (the orchestrator)
//!              |  \__ journal: every step, before and after
//!              v
//!            host: local | ssh | assistant       one call a step, JSON in, JSON out
//!              v
//!            node: preflight sleep wake snapshot bundle ...        (on each master)
//! ```
//!
//! The orchestrator knows only steps; what they do on a host is in [`node`], and how they get there
//! in [`host`]. Until the bundle is handed out any error wakes all hosts, and timers on them wake
//! them if nobody does; from then on nothing wakes by itself.

pub mod aftercare;
pub mod bundle;
pub mod cloud;
pub mod cluster_id;
pub mod config;
pub mod error;
pub mod flow;
pub mod host;
pub mod hosted;
pub mod journal;
pub mod kubernetes;
pub mod node;
pub mod protocol;
pub mod rate;
pub mod render;

pub use bundle::Bundle;
pub use cluster_id::ClusterId;
pub use config::Config;
pub use error::{Error, NodeError, NodeErrorKind, Result};
pub use rate::RateControl;
