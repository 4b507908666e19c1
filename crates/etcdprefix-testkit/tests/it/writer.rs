//! What a writer counts is in the store.

use std::time::Duration;

use anyhow::Result;
use etcdprefix_testkit::writer::Writer;
use etcdprefix_testkit::{EtcdServer, Version, block_on};

#[test]
fn every_counted_put_is_a_revision() -> Result<()> {
    let server = EtcdServer::start(Version::V3_5_16, &[])?;
    let writer = Writer::start(server.url(), Duration::ZERO);
    writer.wait_for(300)?;
    let written = writer.stop()?;
    let revision = block_on(async {
        let status = server.client().await?.status().await?;
        anyhow::Ok(status.header().expect("always there").revision())
    })?;
    // An empty store's revision is 1.
    assert_eq!((written.failures, written.revision), (0, revision));
    assert_eq!(i64::try_from(written.puts)?, revision - 1);
    Ok(())
}

#[test]
fn a_writer_that_never_wrote_says_so() {
    let writer = Writer::start("http://127.0.0.1:1", Duration::ZERO);
    std::thread::sleep(Duration::from_millis(200));
    let error = writer.stop().expect_err("nobody listens there");
    assert!(error.to_string().contains("never wrote"), "{error}");
}
