//! The outcome of `change-prefix` in the form asked for.

use etcdprefix_core::Outcome;

use crate::args::Format;
use crate::output::upload::Upload;
use crate::output::{fields, human};

/// What goes to stdout.
pub fn render(outcome: &Outcome, upload: Option<&Upload>, format: Format) -> String {
    let mut json = fields::json(outcome);
    Upload::join(upload, &mut json);
    fields::render(&json, format, || human::summary(outcome, upload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn json_is_one_line_in_the_order_of_the_contract() {
        let text = render(&sample::in_place(), None, Format::Json);
        assert_eq!(text.lines().count(), 1);
        let contract = include_str!("../../../../docs/cli-contract.md");
        let (_, example) = contract.split_once("```json\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let example: serde_json::Value = serde_json::from_str(example).unwrap();
        assert_eq!(text.trim_end(), example.to_string());
    }

    #[test]
    fn fields_are_one_a_line() {
        let text = render(&sample::dry_run(), None, Format::Fields);
        for line in [
            "\"db\" : \"snap.db\"",
            "\"output\" : null",
            "\"dry_run\" : true",
            "\"known.compact_rev_key\" : 1",
            "\"unmatched_components.top./other\" : 3",
            "\"phases.plan\" : 0.001",
            "\"warnings.0\" : \"the target needs 2 GiB\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_field() {
        let outcome = sample::in_place();
        let text = render(&outcome, None, Format::Table);
        let rules = 3;
        let heading = 1;
        assert_eq!(
            text.lines().count(),
            fields::of(&fields::json(&outcome)).len() + rules + heading
        );
        assert!(text.contains("| dest_prefix "), "{text}");
    }
}
