//! What stands below the flags of `migrate hosted`.

pub const RUN: &str = "\
Examples:
  What would be done:
    etcdprefix migrate hosted run --hosted-cluster clusters/mine --after wake \\
        --store s3://backups/mine/ --region eu-west-1 --dry-run
  A copy, the old cluster going on as before; into the manifests of the new one:
    hcp create cluster aws --name new ... --render --render-sensitive > new.yaml
    etcdprefix migrate hosted run --hosted-cluster clusters/mine --after wake \\
        --store s3://backups/mine/ --region eu-west-1 --into new.yaml
    kubectl apply -f new.yaml
  A move: the old cluster stays asleep.
    etcdprefix migrate hosted run --hosted-cluster clusters/mine --after stay \\
        --store s3://backups/mine/ --region eu-west-1

kube-apiserver, openshift-apiserver and openshift-oauth-apiserver are scaled to zero: the hosted
API is away until they are back. What was before is in the folder's journal and in the
HostedCluster's annotation etcdprefix.github.io/asleep. Ctrl-C puts everything back.
A live HostedCluster's spec.etcd is never changed.

";

pub const STORE: &str = "\
Credentials of the store are never flags: the environment (AWS_ACCESS_KEY_ID, OSS_ACCESS_KEY_ID,
...), --store-credentials, --store-profile, or a role.

";

pub const ROLLBACK: &str = "\
Examples:
  etcdprefix migrate hosted rollback --hosted-cluster clusters/mine
  From another machine, after the one that ran it is lost:
    etcdprefix migrate hosted rollback --hosted-cluster clusters/mine --take-over

What somebody changed meanwhile is not overwritten: it is told, and the exit code is 40. After
--after stay it wakes the cluster, and the snapshot stays in the store. The object of a run that did not come to its end is removed from the store. It may be repeated.

";

pub const STATUS: &str = "\
Examples:
  etcdprefix migrate hosted status --hosted-cluster clusters/mine
  etcdprefix migrate hosted status --hosted-cluster clusters/mine -w json | jq .asleep

";
