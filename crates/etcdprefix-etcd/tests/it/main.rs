//! Against real servers, on each provisioned version of etcd.

mod forwarder;
mod quiet;
mod quiet_breaks;
