//! The migration against what it did not write itself.

mod aftercare;
mod cloud;
mod flow;
mod kubernetes;
mod master;
mod node;
mod preflight;
mod preflight_cluster;
mod preflight_etcd;
mod preflight_store;
mod server;
mod snapshot;
mod ssh;
