//! What stands below the flags of `migrate`.

/// For `migrate` itself.
pub const ABOUT: &str = "\
A migration, in order:
  etcdprefix migrate rehearse --config c123.yaml     with the cluster up, as often as you like
  etcdprefix migrate run --config c123.yaml          the outage; ends with the bundle
  (the managed side starts with it)
  etcdprefix migrate aftercare --config c123.yaml    whether it serves, and what is left to do
  etcdprefix migrate finish --config c123.yaml

Until the bundle is handed out, whatever fails wakes all hosts; so do they themselves if
this machine is lost (--wake-after). From then on nothing wakes them: two control planes
on one set of nodes would be worse than none.

";

/// For all its commands.
pub const CONFIG: &str = "\
A configuration needs three things:
    cluster_id: c123
    hosts: [root@10.0.0.1, root@10.0.0.2, root@10.0.0.3]
    store: {url: oss://backups/c123/, region: cn-hangzhou}
Masters without SSH: hosts are ecs:INSTANCE-ID, or found by --assistant-targets, and Alibaba
Cloud Assistant runs the steps (docs/cloud-assistant.md). docs/cli-contract.md has all members. etcd is asked as the API servers' manifests say, unless
--etcd-endpoints or the file says otherwise.

Credentials of the store are never flags. Those in this environment (OSS_ACCESS_KEY_ID,
ALIBABA_CLOUD_ACCESS_KEY_ID, AWS_ACCESS_KEY_ID, ...) are given to the steps that need them and
stay nowhere; without any, with --host-credentials, or where a host is ecs:..., the hosts use
their own.

";

pub const REHEARSE: &str = "\
Examples:
  etcdprefix migrate rehearse --config c123.yaml
  Without a file:
    etcdprefix migrate rehearse --cluster-id c123 --store oss://backups/ --region cn-hangzhou \\
        --host root@10.0.0.1 --host root@10.0.0.2 --host root@10.0.0.3
  What speaks against it, for a script:
    etcdprefix migrate rehearse --config c123.yaml -w json |
        jq '.hosts[].checks[] | select(.standing == \"fail\")'

Every check is made, the leader's member is saved and rewritten, a probe is uploaded and
signed, and the outage is predicted. Nothing sleeps, and no snapshot is uploaded.

";

pub const RUN: &str = "\
Examples:
  etcdprefix migrate run --config c123.yaml
  For a target outside ACK, encrypted for whoever starts it:
    etcdprefix migrate run --config c123.yaml --recipient age1... --bundle-extra
  In an engine that takes the bundle from stdout, as the cloud's template:
    etcdprefix migrate run --config c123.yaml --print-bundle -w json | jq -r '.readSignOutputs[0]'

Ctrl-C before the hand-out wakes all hosts; so does SIGTERM, and a terminal that goes away. A
second one changes nothing, a third one ends this process (exit 40) and leaves the hosts
as they are.

";

pub const RESUME: &str = "\
Examples:
  etcdprefix migrate resume --config c123.yaml

After a run whose process was killed or whose machine went down; what it had done is found
done. If a host is awake again, the control plane is put to sleep anew and saved anew.

";

pub const ROLLBACK: &str = "\
Examples:
  etcdprefix migrate rollback --config c123.yaml
  From another machine, after the one that ran it is lost:
    etcdprefix migrate rollback --config c123.yaml --take-over

Files that were moved go back, byte for byte; one that differs from what lies in its place
is left, and both are named. It may be repeated.

";

pub const STATUS: &str = "\
Examples:
  etcdprefix migrate status --config c123.yaml
  etcdprefix migrate status --config c123.yaml -w json | jq -r .advice

The exit code is 29 if a host does not answer; what the others say is printed all the same.

";

pub const FINISH: &str = "\
Examples:
  etcdprefix migrate finish --config c123.yaml

Fences stay: nothing of ours will ever wake these hosts' control planes.

";

pub const PRESIGN: &str = "\
Examples:
  A new URL in the bundle's file, whose old one has ended:
    etcdprefix migrate presign --config c123.yaml
  By hand, where the bundle is encrypted or has been taken away:
    URL=$(etcdprefix migrate presign --config c123.yaml --print-url)

";

pub const AFTERCARE: &str = "\
Examples:
  etcdprefix migrate aftercare --config c123.yaml
  And do what the API can do, once the add-ons are installed anew in the console:
    etcdprefix migrate aftercare --config c123.yaml --yes --add-ons-installed

Masters that are NotReady are deleted as nodes, add-ons of the dedicated cluster are removed,
terway-controlplane is switched on again, a pod is started and deleted. What only a person can
do is told with where to do it.

";

/// For all of `render`.
pub const RENDER: &str = "\
Examples:
  etcdprefix migrate render oos > template.yaml
  etcdprefix migrate render ansible --cluster-id c123 --store oss://backups/c123/ \\
      --region cn-hangzhou --binary /root/etcdprefix --bundle /root/c123.json > c123.yml
  etcdprefix migrate render kubernetes --list snapshots.txt --image registry.example/etcdprefix:1

They are printed on stdout; nothing is started. docs/oos.md, docs/ansible.md and
docs/kubernetes-jobs.md lead through each.

";

/// For all of `oos`.
pub const OOS: &str = "\
A template, in order:
  etcdprefix migrate render oos > template.yaml
  etcdprefix migrate oos create --region cn-hangzhou --template-name moving --file template.yaml
  etcdprefix migrate oos start --region cn-hangzhou --template-name moving \\
      --parameters @parameters.json
  etcdprefix migrate oos watch --region cn-hangzhou --execution-id exec-1 --bundle bundle.json

docs/oos.md has the parameters, and what to do when something goes wrong.

";

/// For all of `hosted`.
pub const HOSTED: &str = "\
Examples:
  etcdprefix migrate hosted run --hosted-cluster clusters/mine --after wake \\
      --store s3://backups/mine/ --region eu-west-1 --dry-run
  etcdprefix migrate hosted status --hosted-cluster clusters/mine
  etcdprefix migrate hosted rollback --hosted-cluster clusters/mine

docs/hosted-control-planes.md leads through it.

";
