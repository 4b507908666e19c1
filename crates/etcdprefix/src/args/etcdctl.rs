//! etcdctl takes the flags of a connection in front of its commands, too, where most of its users put
//! them: `etcdctl --endpoints=… --cacert=… snapshot save FILE`.

use std::ffi::OsString;

/// Groups of commands, and what is in them.
const COMMANDS: [(&str, &[&str]); 2] =
    [("snapshot", &["save", "status"]), ("endpoint", &["status", "hashkv", "quiet"])];

/// Moves flags that stand in front of the command, or between its two words, behind it. Other lines stay
/// as they are; a value that is the name of a command can't be told from it.
pub fn reordered(words: Vec<OsString>) -> Vec<OsString> {
    moved(&words).unwrap_or(words)
}

fn moved(words: &[OsString]) -> Option<Vec<OsString>> {
    let (program, rest) = words.split_first()?;
    let group = rest.iter().position(|word| COMMANDS.iter().any(|(group, _)| word == group))?;
    let (before, rest) = rest.split_at(group);
    // `node snapshot` is another command.
    if before.iter().any(|word| word == "node") {
        return None;
    }
    let (group, rest) = rest.split_first()?;
    let (_, commands) = COMMANDS.iter().find(|(name, _)| group == name)?;
    let command = rest.iter().position(|word| commands.iter().any(|command| word == command))?;
    let (between, rest) = rest.split_at(command);
    let (command, rest) = rest.split_first()?;
    let flags = [before, between];
    let are_flags = |words: &&[OsString]| words.first().is_none_or(is_flag);
    if flags.iter().all(|words| words.is_empty()) || !flags.iter().all(are_flags) {
        return None;
    }
    // Behind two dashes there are no flags.
    let end = rest.iter().position(|word| word == "--").unwrap_or(rest.len());
    let (rest, literal) = rest.split_at(end);
    let head = [program.clone(), group.clone(), command.clone()];
    Some([&head[..], rest, before, between, literal].concat())
}

fn is_flag(word: &OsString) -> bool {
    word.to_str().is_some_and(|word| word.starts_with('-') && word != "--" && word != "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        let words = text.split_whitespace().map(OsString::from).collect();
        let words = reordered(words).into_iter().map(|word| word.into_string().unwrap());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn flags_come_behind_the_command() {
        for (given, expected) in [
            (
                "p --endpoints=a --cacert ca snapshot save f",
                "p snapshot save f --endpoints=a --cacert ca",
            ),
            ("p -w json snapshot status f", "p snapshot status f -w json"),
            (
                "p --user a snapshot --key k save f --cert c",
                "p snapshot save f --cert c --user a --key k",
            ),
            ("p --cluster endpoint status", "p endpoint status --cluster"),
            ("p --quiet snapshot save -- -f", "p snapshot save --quiet -- -f"),
        ] {
            assert_eq!(line(given), expected);
        }
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        for given in [
            "p",
            "p --help",
            "p --quiet check snapshot",
            "p check snapshot --quiet",
            "p snapshot save f --endpoints a",
            "p --endpoints=a snapshot",
            "p snap endpoint status",
            "p --quiet node snapshot --run save",
        ] {
            assert_eq!(line(given), given);
        }
    }
}
