use anyhow::Result;
use serde_json::Value;

use super::bench::Cloud;

/// What each would do if a shell read it.
pub const HARM: [&str; 6] = [
    "c1; touch /run/harm",
    "c1$(touch /run/harm)",
    "c1`touch /run/harm`",
    "c1'; touch /run/harm; '",
    "c1\"; touch /run/harm; \"",
    "c1\ntouch /run/harm",
];

pub const TAINTED: [&str; 6] =
    ["ClusterID", "BucketName", "OSSEndpoint", "recipient", "binaryURL", "binarySHA256"];

fn with(cloud: &Cloud, name: &str, value: &str) -> Value {
    let mut parameters = cloud.parameters("migrate");
    parameters[name] = value.into();
    // So that it comes to where the value is used.
    parameters["failedChecks"] = "report".into();
    parameters
}

#[test]
fn values_that_mean_harm_are_refused_or_do_none() -> Result<()> {
    let cloud = Cloud::one()?;
    let refused = cloud.refused(&with(&cloud, "ClusterID", HARM[0]))?;
    assert_eq!(refused, "InvalidParameter");
    // Without the patterns the scripts still take them for values, and the program refuses them.
    cloud.edit(|text| {
        let is_limit = |line: &&str| {
            let line = line.trim_start();
            !["AllowedPattern:", "MinLength:", "MaxLength:"].iter().any(|it| line.starts_with(it))
        };
        let kept: Vec<&str> = text.lines().filter(is_limit).collect();
        kept.join("\n") + "\n"
    });
    for (at, name) in TAINTED.into_iter().enumerate() {
        let value = HARM[at];
        cloud.host(1).shell("rm -f /var/lib/etcdprefix/bin/etcdprefix-oos")?;
        let ended = cloud.run(&with(&cloud, name, value))?;
        assert_eq!(ended.status(), "Failed", "{name}: {value}: {ended}");
        assert!(!cloud.host(1).path("/run/harm").exists(), "{name}: {value}");
        assert!(ended.outputs["readSignOutputs"].is_null(), "{ended}");
        // A wrong id leaves nobody to wake it but its timer, or whoever gives the right one.
        assert_eq!(cloud.roll_back("no")?.status(), "Success", "{name}");
        cloud.is_undone()?;
    }
    Ok(())
}
