//! Talks to live etcd members.
