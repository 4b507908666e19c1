//! `migrate hosted` from outside: a real kube-apiserver with HyperShift's kinds, an operator's part played
//! here, a real etcd with TLS, a real store. Whatever a run says or leaves is searched for secrets, and
//! what is to be as before is compared whole.

// From the dry run to a new HostedCluster, awake and asleep.
mod straight;
// Whatever was before is so again.
mod values;
// The command dies at every step.
mod killed;
// Answers that are lost, and requests that come late.
mod late;
// What speaks against it, and what goes wrong on the way.
mod undone;
// Two at once.
mod locks;
// An annotation, a writer, a whole HostedCluster that is gone.
mod lost;
// docs/hosted-control-planes.md, tried as it stands.
mod page;
// The cluster, its objects, and the command on them.
mod bench;
// What controllers do where they run.
mod operator;
// The command while it runs, and what it left.
mod run;
