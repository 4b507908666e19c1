//! Rules for every text file: no leftover markers, no traces of the machine it was written on.

use super::File;

/// Split in two so that this file keeps its own rule.
const MARKERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("WI", "P"),
];

const MACHINE: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/."),
    concat!("deb.deb", "ian"),
    concat!("python", "hosted"),
    concat!("py", "pi.org"),
    concat!("BEGIN ", "PRIVATE KEY"),
];

pub fn check(file: &File) -> Vec<String> {
    // Cargo writes its lock file, recorded outputs are other programs' words.
    if file.path == "Cargo.lock" || file.path.ends_with("/Cargo.lock") {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    lines.flat_map(|(index, line)| findings(file, index + 1, line)).collect()
}

fn findings(file: &File, number: usize, line: &str) -> Vec<String> {
    let place = format!("{}:{number}", file.path);
    let markers = MARKERS.iter().filter(|marker| holds_word(line, marker));
    let machine = MACHINE.iter().filter(|part| line.contains(**part));
    markers
        .map(|marker| format!("{place}: leftover marker {marker}"))
        .chain(machine.map(|part| format!("{place}: \"{part}\" belongs to one machine")))
        .collect()
}

/// Whether `word` stands in `line` with no letter, digit or underscore beside it.
pub fn holds_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_letters_digits_and_underscores() {
        assert!(holds_word("an unsafe block", "unsafe"));
        assert!(!holds_word("unsafe_code = deny", "unsafe"));
        assert!(holds_word("x::unsafe", "unsafe"));
    }
}
