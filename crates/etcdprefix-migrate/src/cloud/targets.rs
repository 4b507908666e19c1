//! Which instances, in the words of OOS's templates.

use serde::{Deserialize, Serialize};

use super::error::ApiError;

/// `{"Type": "ResourceIds", "ResourceIds": [...]}`, `{"Type": "Tags", "Tags": [{"Key": ..., "Value": ...}]}`, or
/// `{"Type": "ResourceGroup", "ResourceGroupId": ...}`, each with or without a `RegionId`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Words", into = "Words")]
pub enum Targets {
    /// These.
    ResourceIds(Vec<String>),
    /// Those that have all of these tags: keys and values.
    Tags(Vec<(String, String)>),
    /// Those of a resource group.
    ResourceGroup(String),
    /// Any of the others, in the region with this id and no other.
    InRegion(String, Box<Targets>),
}

impl Targets {
    /// Without the region, which has to be this one.
    ///
    /// # Errors
    /// [`ApiError::Usage`]: in another region the same tags may be those of another cluster.
    pub fn in_region(&self, region: &str) -> Result<&Self, ApiError> {
        match self {
            Self::InRegion(theirs, _) if theirs != region => Err(ApiError::Usage(format!(
                "the targets are in {theirs} (RegionId), and {region} is to be asked; try: the same region in both"
            ))),
            Self::InRegion(_, targets) => targets.in_region(region),
            targets => Ok(targets),
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Words {
    r#type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource_ids: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<Tag>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource_group_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region_id: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

impl TryFrom<Words> for Targets {
    type Error = String;

    fn try_from(mut words: Words) -> Result<Self, String> {
        let region = words.region_id.take().filter(|region| !region.is_empty());
        let targets = plain(words)?;
        Ok(match region {
            Some(region) => Self::InRegion(region, Box::new(targets)),
            None => targets,
        })
    }
}

fn plain(words: Words) -> Result<Targets, String> {
    let missing = |member: &str| format!("targets of type {} need {member}", words.r#type);
    match words.r#type.as_str() {
        "ResourceIds" => match words.resource_ids {
            Some(ids) if !ids.is_empty() => Ok(Targets::ResourceIds(ids)),
            _ => Err(missing("ResourceIds")),
        },
        "Tags" => match words.tags {
            Some(tags) if !tags.is_empty() => {
                Ok(Targets::Tags(tags.into_iter().map(|tag| (tag.key, tag.value)).collect()))
            }
            _ => Err(missing("Tags")),
        },
        "ResourceGroup" => match words.resource_group_id {
            Some(id) if !id.is_empty() => Ok(Targets::ResourceGroup(id)),
            _ => Err(missing("ResourceGroupId")),
        },
        other => {
            Err(format!("targets are of type ResourceIds, Tags or ResourceGroup, not {other:?}"))
        }
    }
}

impl From<Targets> for Words {
    fn from(targets: Targets) -> Self {
        let of = |r#type: &str| Self { r#type: r#type.to_owned(), ..Self::default() };
        match targets {
            Targets::ResourceIds(ids) => Self { resource_ids: Some(ids), ..of("ResourceIds") },
            Targets::Tags(tags) => {
                let tags = tags.into_iter().map(|(key, value)| Tag { key, value });
                Self { tags: Some(tags.collect()), ..of("Tags") }
            }
            Targets::ResourceGroup(id) => {
                Self { resource_group_id: Some(id), ..of("ResourceGroup") }
            }
            Targets::InRegion(region, targets) => {
                Self { region_id: Some(region), ..Self::from(*targets) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written_in_the_words_of_oos() {
        for (text, targets) in [
            (
                r#"{"Type":"ResourceIds","ResourceIds":["i-1","i-2"]}"#,
                Targets::ResourceIds(vec!["i-1".into(), "i-2".into()]),
            ),
            (
                r#"{"Type":"Tags","Tags":[{"Key":"role","Value":"master"}]}"#,
                Targets::Tags(vec![("role".into(), "master".into())]),
            ),
            (
                r#"{"Type":"ResourceGroup","ResourceGroupId":"rg-1"}"#,
                Targets::ResourceGroup("rg-1".into()),
            ),
            (
                r#"{"Type":"ResourceGroup","ResourceGroupId":"rg-1","RegionId":"cn-beijing"}"#,
                Targets::InRegion(
                    "cn-beijing".into(),
                    Box::new(Targets::ResourceGroup("rg-1".into())),
                ),
            ),
        ] {
            assert_eq!(serde_json::from_str::<Targets>(text).unwrap(), targets);
            assert_eq!(serde_json::to_string(&targets).unwrap(), text);
        }
        let of_console = r#"{"RegionId":"","Type":"ResourceIds","ResourceIds":["i-1"]}"#;
        assert_eq!(
            serde_json::from_str::<Targets>(of_console).unwrap(),
            Targets::ResourceIds(vec!["i-1".into()])
        );
    }

    #[test]
    fn targets_of_nothing_are_refused() {
        for text in [
            r#"{"Type":"All"}"#,
            r#"{"Type":"ResourceIds"}"#,
            r#"{"Type":"ResourceIds","ResourceIds":[]}"#,
            r#"{"Type":"Tags","Tags":[]}"#,
            r#"{"Type":"ResourceGroup","ResourceGroupId":""}"#,
            r#"{"Type":"ResourceIds","ResourceIds":["i-1"],"Filter":1}"#,
        ] {
            assert!(serde_json::from_str::<Targets>(text).is_err(), "{text}");
        }
    }
}
