//! What the cloud says, in our words: who is lost, who is refused, and what to try.

use super::super::HostError;
use crate::cloud::ApiError;

/// The instance or its agent is away, and may come back.
const AWAY: [(&str, &str); 11] = [
    ("ClientNotRunning", AGENT),
    ("ClientNotResponse", AGENT),
    ("ClientNotOnline", AGENT),
    ("ClientIsUpgrading", "again in a minute"),
    ("ClientNetworkBlocked", "the instance's way to the Cloud Assistant's endpoints"),
    ("DeliveryTimeout", AGENT),
    ("ExecutionInterrupted", "the instance: did it start anew?"),
    ("ExecutionException", AGENT),
    ("TaskConcurrencyLimit", "again in a minute: the agent has too many commands at once"),
    ("InstanceNotRunning", "to start the instance"),
    ("IncorrectInstanceStatus", "to start the instance"),
];

/// It won't come back by itself.
const REFUSED: [(&str, &str); 7] = [
    ("InstanceNotExists", OTHER),
    ("InstanceReleased", OTHER),
    ("InvalidInstanceId", OTHER),
    ("InvalidInstance.NotFound", OTHER),
    ("ClientNeedUpgrade", "to upgrade the Cloud Assistant Agent there"),
    ("CommandNotApplicable", "an instance that runs Linux"),
    ("SecurityGroupRuleDenied", "a security group that lets the agent reach its endpoints"),
];

const AGENT: &str = "`systemctl status aliyun.service` there: the Cloud Assistant Agent must run";
const OTHER: &str = "the instance's id, and the region it is in";

/// Of a command that could not be sent or run. Codes that nobody knows may pass, too: whoever is patient asks again.
pub fn of_end(code: &str, info: &str) -> HostError {
    let why = |advice: &str| format!("{code}: {info}; try: {advice}");
    match (advice(&AWAY, code), advice(&REFUSED, code)) {
        (Some(advice), _) => HostError::Unreachable(why(advice)),
        (None, Some(advice)) => HostError::Refused(why(advice)),
        (None, None) => {
            HostError::Unreachable(format!("the command could not be run: {code}: {info}"))
        }
    }
}

/// Of a call that failed.
pub fn of_api(error: &ApiError, instance: &str, region: &str) -> HostError {
    let told = match error.advice() {
        Some(advice) => format!("{error}; try: {advice}"),
        None => error.to_string(),
    };
    match error {
        ApiError::Unreachable(_) | ApiError::Throttled(_) => HostError::Unreachable(told),
        ApiError::Refused { code, .. } => match (advice(&AWAY, code), advice(&REFUSED, code)) {
            (Some(advice), _) => HostError::Unreachable(format!("{error}; try: {advice}")),
            (None, Some(advice)) => {
                HostError::Refused(format!("{instance} in {region}: {error}; try: {advice}"))
            }
            (None, None) => HostError::Cloud(told),
        },
        _ => HostError::Cloud(told),
    }
}

/// Codes have parts behind a dot that say more.
fn advice(table: &[(&str, &'static str)], code: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| code.starts_with(known)).map(|(_, advice)| *advice)
}
