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
  In an engine's rollback, after `node unpublish` on all hosts:
    etcdprefix node wake --cluster-id c123 --run exec-1 --not-handed-out --proof m1/exec-1

--managed-side-never-started doesn't make the URL dead: `etcdprefix migrate rollback` with that
flag deletes the object first, and proves it. Here nobody does.

It may be repeated. A file that differs from the one in its place is left: exit 36.

";

pub const SNAPSHOT: &str = "\
Examples:
  etcdprefix node snapshot --cluster-id c123 --store oss://backups/ --region cn-hangzhou \\
      --require-leader
  etcdprefix node snapshot --cluster-id c123 --store oss://backups/ --region cn-hangzhou \\
      --etcd-endpoints https://127.0.0.1:2379 --etcd-cacert ca.pem --etcd-cert client.pem \\
      --etcd-key client-key.pem -w json

A URL that ends in a slash, or is a bucket, gets etcd_<ID>_<time> as the cloud's template has
it; any other is the object itself. How etcd is reached and what the keys' prefix is are read
from the API server's manifest, also while it sleeps. What was made is remembered here for
`bundle`, `presign` and `unpublish` until the host is woken and given back.

";

pub const BUNDLE: &str = "\
Examples:
  Of what `node snapshot` made here; the host has to be fenced:
    etcdprefix node bundle --cluster-id c123 --recipient age1... --print-bundle
  Of any snapshot:
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

pub const LEADER: &str = "\
Examples:
  etcdprefix node leader && echo make the snapshot here
  etcdprefix node leader --print \"$(hostname)\"

A learner never leads. Which member is this host's is told by the addresses of its client URLs.

";

pub const FENCE: &str = "\
Examples:
  On the host that made the snapshot, then on all others:
    etcdprefix node fence --cluster-id c123
    etcdprefix node fence --cluster-id c123 --made-on m1

On all hosts, before any bundle is printed or written. It makes sure that the host sleeps, and
will: exit 35 if it doesn't.

";

pub const UNPUBLISH: &str = "\
Examples:
  etcdprefix node unpublish --cluster-id c123 --unless-handed-out
  To wake a cluster whose managed side certainly never started:
    etcdprefix node unpublish --cluster-id c123 --any-run
    etcdprefix node wake --cluster-id c123 --any-run --not-handed-out

The object is deleted, or overwritten where that is not allowed, and a URL signed anew has to find
nothing. Only of an object whose URL was never handed out may that fail, with a warning. From then
on the run makes no snapshot and no bundle here. A host that made none has nothing to do: exit 0.

";

pub const PRESIGN: &str = "\
Examples:
  etcdprefix node presign --cluster-id c123 --any-run --output /root/url

For a URL that has ended. The host has to be fenced, as for the bundle.

";
