//! What stands below the flags of `node`.

/// For `node` itself.
pub const ABOUT: &str = "\
`etcdprefix migrate` does all of this on all hosts, watches over it, and puts it back if
anything fails. These are its steps by themselves: for other engines, and for people who
have to look at a host. They want to be root.

";

pub const PREFLIGHT: &str = "\
Examples:
  etcdprefix node preflight --store oss://backups/ --region cn-hangzhou
  etcdprefix node preflight -w json | jq '.checks[] | select(.standing != \"ok\")'

The exit code is 31 if something speaks against it; the report is printed all the same.

";

pub const SLEEP: &str = "\
Examples:
  etcdprefix node sleep --cluster-id c123
  With kube-vip, for half an hour at most:
    etcdprefix node sleep --cluster-id c123 --also kube-vip --wake-after 30m

kube-apiserver, kube-controller-manager, kube-scheduler and cloud-controller-manager are moved
from the kubelet's folder to the one beside it that ends in .backup; etcd never.

";

pub const WAKE: &str = "\
Examples:
  etcdprefix node wake --cluster-id c123
  After whoever put it to sleep is lost:
    etcdprefix node wake --cluster-id c123 --take-over

--managed-side-never-started doesn't make the URL dead: `etcdprefix migrate rollback` with that
flag deletes the object first, and proves it. Here nobody does.

It may be repeated. A file that differs from the one in its place is left: exit 36.

";

pub const SNAPSHOT: &str = "\
Examples:
  etcdprefix node snapshot --cluster-id c123 --store oss://backups/ --region cn-hangzhou \\
      --etcd-endpoints https://127.0.0.1:2379 --etcd-cacert ca.pem --etcd-cert client.pem \\
      --etcd-key client-key.pem --require-leader -w json

A URL that ends in a slash, or is a bucket, gets etcd_<ID>_<time> as the cloud's template has
it; any other is the object itself. --etcd-endpoints has to be given: while the API server
sleeps, its manifest is not there to be asked.

";

pub const BUNDLE: &str = "\
Examples:
  etcdprefix node bundle --cluster-id c123 --revision 64000 --output /root/bundle.json \\
      --store oss://backups/etcd_c123_20261123043048 --region cn-hangzhou \\
      --etcd-endpoints https://127.0.0.1:2379 --etcd-cacert ca.pem --etcd-cert client.pem \\
      --etcd-key client-key.pem

The exit code is 25 if somebody wrote after the snapshot. Whoever hands the bundle out has to
see to it that no host wakes from then on.

";

pub const STATUS: &str = "\
Examples:
  etcdprefix node status
  etcdprefix node status -w json | jq '.asleep.moved'

";
