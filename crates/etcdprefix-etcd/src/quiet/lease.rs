//! Whether a lease is gone.

use std::time::Duration;

use crate::client::Connection;
use crate::error::Failure;

/// Between askings: the leader answers, and may be behind the member whose events are seen.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
];

/// After so many leases that repeated asking did not make go away, those with time left are asked
/// for once: whoever deletes so much would leave the watch behind.
const FRUITLESS_MAX: u32 = 32;

/// A lease as the leader has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lease {
    Gone,
    /// Its time is over, or nearly; the leader is about to end it.
    Expiring,
    Alive,
}

/// Asks the leader, through any member.
#[derive(Default)]
pub struct Leases {
    fruitless: u32,
}

impl Leases {
    /// Whether the lease is gone, now or within some 100 ms.
    pub async fn is_gone(&mut self, connection: &Connection, id: i64) -> Result<bool, Failure> {
        let mut answer = ask(connection, id).await;
        for pause in PAUSES {
            match &answer {
                Ok(Lease::Gone) => return Ok(true),
                Ok(Lease::Alive) if self.fruitless >= FRUITLESS_MAX => return Ok(false),
                Ok(_) | Err(Failure::Server(_)) => {}
                Err(failure) => return Err(failure.clone()),
            }
            tokio::time::sleep(pause).await;
            answer = ask(connection, id).await;
        }
        let gone = answer? == Lease::Gone;
        self.fruitless += u32::from(!gone && self.fruitless < FRUITLESS_MAX);
        Ok(gone)
    }
}

async fn ask(connection: &Connection, id: i64) -> Result<Lease, Failure> {
    let mut client = connection.client();
    let answer = connection.ask(client.lease_time_to_live(id, None)).await?;
    // An expired lease that is not ended yet may have -1 s left, too, but tells what it was granted.
    Ok(match (answer.granted_ttl(), answer.ttl()) {
        (0, ..0) => Lease::Gone,
        (_, ..=0) => Lease::Expiring,
        _ => Lease::Alive,
    })
}
