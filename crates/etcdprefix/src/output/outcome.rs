//! The outcome of `change-prefix` in the form asked for.

use comfy_table::presets::ASCII_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use etcdprefix_core::Outcome;

use crate::args::Format;
use crate::output::{fields, human, text};

/// What goes to stdout.
pub fn render(outcome: &Outcome, format: Format) -> String {
    match format {
        Format::Simple => human::summary(outcome),
        Format::Table => table(outcome),
        Format::Json => fields::json(outcome).to_string() + "\n",
        Format::Fields => lines(outcome),
    }
}

fn lines(outcome: &Outcome) -> String {
    let fields = fields::of(outcome);
    let lines = fields.iter().map(|(name, value)| {
        let name = serde_json::Value::from(name.as_str());
        format!("{name} : {value}\n")
    });
    lines.collect()
}

fn table(outcome: &Outcome) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_FULL_CONDENSED);
    table.set_header(["NAME", "VALUE"]);
    for (name, value) in fields::of(outcome) {
        let value = value.as_str().map_or_else(|| value.to_string(), text::one_line);
        table.add_row([text::one_line(&name), value]);
    }
    if let Some(values) = table.column_mut(1) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::sample;

    #[test]
    fn json_is_one_line_in_the_order_of_the_contract() {
        let text = render(&sample::in_place(), Format::Json);
        assert_eq!(text.lines().count(), 1);
        let contract = include_str!("../../../../docs/cli-contract.md");
        let (_, example) = contract.split_once("```json\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let example: serde_json::Value = serde_json::from_str(example).unwrap();
        assert_eq!(text.trim_end(), example.to_string());
    }

    #[test]
    fn fields_are_one_a_line() {
        let text = render(&sample::dry_run(), Format::Fields);
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
        let text = render(&outcome, Format::Table);
        let rules = 3;
        let heading = 1;
        assert_eq!(text.lines().count(), fields::of(&outcome).len() + rules + heading);
        assert!(text.contains("| dest_prefix "), "{text}");
    }
}
