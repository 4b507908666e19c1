use anyhow::Result;
use etcdprefix_testkit::cluster::EtcdCluster;
use etcdprefix_testkit::proxy::Proxy;
use etcdprefix_testkit::{Version, block_on};

use super::{Folder, Run, revision, save_line, three, warnings, whole_and_alone};

fn hex(cluster: &EtcdCluster, member: usize) -> String {
    format!("{:x}", cluster.member_id(member))
}

/// The endpoints of these members, in this order.
fn endpoints(cluster: &EtcdCluster, members: &[usize]) -> String {
    let endpoints: Vec<&str> = members.iter().map(|&member| cluster.endpoint(member)).collect();
    endpoints.join(",")
}

/// A run that saves from `member` and says these words in its warnings, nothing if there are none.
#[track_caller]
fn from(cluster: &EtcdCluster, member: usize, run: Run, words: &str) {
    let saved = run.saved();
    assert_eq!(saved["member"]["member_id"], hex(cluster, member), "{saved}");
    let said = warnings(&saved);
    assert!(if words.is_empty() { said.is_empty() } else { said.contains(words) }, "{said}");
}

fn followers(leader: usize) -> [usize; 2] {
    [(leader + 1) % 3, (leader + 2) % 3]
}

/// The leader in any order; followers if they are all there is, or asked for.
fn leads_and_follows(cluster: &EtcdCluster) -> Result<()> {
    let folder = Folder::new()?;
    let leader = cluster.leader()?;
    let [one, other] = followers(leader);
    for order in [[leader, one, other], [one, leader, other], [other, one, leader]] {
        from(cluster, leader, folder.save(&endpoints(cluster, &order), ""), "");
    }
    let missing = "the leader is not among the endpoints";
    from(cluster, one, folder.save(cluster.endpoint(one), ""), missing);
    let asked_for = format!("--from {}", cluster.endpoint(other));
    from(cluster, other, folder.save(&endpoints(cluster, &[leader, one]), &asked_for), "");
    whole_and_alone(&folder)
}

/// Never a learner by itself. 3.4's own learners refuse to be asked for a snapshot.
fn learns(cluster: &mut EtcdCluster) -> Result<()> {
    let folder = Folder::new()?;
    let (learner, leader) = (cluster.add_learner()?, cluster.leader()?);
    let all = endpoints(cluster, &[learner, leader]);
    from(cluster, leader, folder.save(&all, ""), "it is a learner");
    std::fs::remove_file(folder.path("snap.db"))?;
    let endpoint = cluster.endpoint(learner).to_owned();
    folder.save(&endpoint, "").refused(21, &[&endpoint, "it is a learner", "--from"]);
    assert_eq!(folder.names(), [""; 0]);
    let run = folder.save(&all, &format!("--from {endpoint}"));
    if cluster.version() == Version::V3_4_23 {
        run.refused(21, &[&endpoint, "rpc not supported for learner", "that votes"]);
        assert_eq!(folder.names(), [""; 0]);
        return Ok(());
    }
    from(cluster, learner, run, "it is a learner");
    whole_and_alone(&folder)
}

/// The leader freezes: its heir is taken in time, though nobody knows how long to wait for it.
fn freezes(cluster: &mut EtcdCluster) -> Result<()> {
    let folder = Folder::new()?;
    let frozen = cluster.leader()?;
    cluster.stop(frozen)?;
    let heir = cluster.leader()?;
    let run = folder.save(&endpoints(cluster, &[frozen, heir]), "--command-timeout=60s");
    from(cluster, heir, run, &format!("{}: no answer within 10s", cluster.endpoint(frozen)));
    whole_and_alone(&folder)?;
    cluster.resume(frozen)
}

/// In the moment when nobody leads it is tried again until somebody does.
fn dies_this_moment(cluster: &mut EtcdCluster) -> Result<()> {
    let folder = Folder::new()?;
    let dying = cluster.leader()?;
    let all = endpoints(cluster, &[0, 1, 2]);
    cluster.kill(dying)?;
    for _ in 0..3 {
        folder.save(&all, "--retries 8").saved();
        whole_and_alone(&folder)?;
    }
    Ok(())
}

/// The leader dies: its heir is taken, and the dead one is told.
fn dies(cluster: &mut EtcdCluster) -> Result<()> {
    let folder = Folder::new()?;
    let dead = cluster.leader()?;
    cluster.kill(dead)?;
    let heir = cluster.leader()?;
    let all = endpoints(cluster, &[0, 1, 2]);
    let run = folder.save(&all, "");
    from(cluster, heir, run, &format!("{}: cannot connect: ", cluster.endpoint(dead)));
    whole_and_alone(&folder)?;
    let run = folder.save(&all, &format!("--from {}", cluster.endpoint(dead)));
    run.refused(21, &[cluster.endpoint(dead), "cannot connect"]);
    whole_and_alone(&folder)
}

/// Alone it sees no leader and may be behind; taken only if asked for.
fn is_cut_off(cluster: &mut EtcdCluster) -> Result<()> {
    let folder = Folder::new()?;
    let alone = cluster.leader()?;
    // One was killed before.
    let other = followers(alone).into_iter().find(|&member| cluster.stop(member).is_ok());
    let other = other.expect("two run");
    let endpoint = cluster.endpoint(alone).to_owned();
    let start = std::time::Instant::now();
    while block_on(async { anyhow::Ok(cluster.client(alone).await?.status().await?.leader()) })?
        != 0
    {
        assert!(start.elapsed().as_secs() < 60, "it still sees a leader");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let line = "--retries 0 --dial-timeout 1s";
    folder.save(&endpoint, line).refused(21, &[&endpoint, "it sees no leader", "--from"]);
    assert_eq!(folder.names(), [""; 0]);
    let run = folder.save(&endpoint, &format!("{line} --from {endpoint}"));
    from(cluster, alone, run, "it sees no leader");
    whole_and_alone(&folder)?;
    cluster.resume(other)
}

fn the_right_member_is_taken(version: Version) -> Result<()> {
    let mut cluster = three(version)?;
    leads_and_follows(&cluster)?;
    learns(&mut cluster)?;
    Ok(())
}

#[test]
fn the_right_member_is_taken_of_3_4_23() -> Result<()> {
    the_right_member_is_taken(Version::V3_4_23)
}

#[test]
fn the_right_member_is_taken_of_3_5_1() -> Result<()> {
    the_right_member_is_taken(Version::V3_5_1)
}

#[test]
fn a_leader_that_falls_or_freezes_is_no_hindrance() -> Result<()> {
    let mut cluster = three(Version::V3_5_1)?;
    freezes(&mut cluster)?;
    dies_this_moment(&mut cluster)
}

#[test]
fn a_dead_leader_is_told_and_its_heir_is_taken() -> Result<()> {
    let mut cluster = three(Version::V3_5_16)?;
    dies(&mut cluster)?;
    is_cut_off(&mut cluster)
}

/// A member goes on sending the state that it began with, whoever leads.
#[test]
fn a_leader_that_steps_down_meanwhile_sends_the_rest() -> Result<()> {
    let (cluster, folder) = (three(Version::V3_5_1)?, Folder::new()?);
    let leader = cluster.leader()?;
    let before = revision(&cluster, leader)?;
    let proxy = Proxy::start(cluster.endpoint(leader))?;
    proxy.throttle(1_500_000);
    let mut child = folder.program(&save_line(&proxy.endpoint(), ""));
    child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = child.spawn()?;
    super::streams::wait_for_bytes(&proxy, 500_000)?;
    let [next, _] = followers(leader);
    cluster.move_leader(next)?;
    block_on(async { anyhow::Ok(cluster.client(next).await?.put("after", "x", None).await?) })?;
    proxy.heal();
    let saved = Run(child.wait_with_output()?).saved();
    assert_eq!((&saved["revision"], &saved["attempts"]), (&before.into(), &1.into()));
    assert_eq!(saved["member"]["member_id"], hex(&cluster, leader));
    whole_and_alone(&folder)
}
