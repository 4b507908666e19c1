//! Answers of the argument parser: help and version are results, anything else a usage error.

use clap::error::ErrorKind;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// The text that was asked for, or a failure of one line.
pub fn answer(error: &clap::Error) -> Result<String, Failure> {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(text),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::to_stderr(&text);
            let message = "no command given";
            Err(Failure::new(Exit::Usage, message, None))
        }
        _ => Err(failure(&text)),
    }
}

/// clap's paragraphs in one line: what is wrong, its tip, and where the help is.
fn failure(text: &str) -> Failure {
    let mut message = String::new();
    let mut tips = Vec::new();
    let mut help = String::from("--help");
    for paragraph in text.split("\n\n") {
        let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(tip) = paragraph.strip_prefix("tip: ") {
            tips.push(tip.replace(" tip: ", ", "));
        } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            help = format!("`{} --help`", command_of(usage));
        } else if message.is_empty() {
            message = paragraph.trim_start_matches("error: ").to_owned();
        }
    }
    tips.push(help);
    Failure::new(Exit::Usage, message, Some(tips.join("; ")))
}

/// The words of a usage line in front of flags and arguments.
fn command_of(usage: &str) -> String {
    let words = usage.split_whitespace();
    let words = words.take_while(|word| !word.starts_with(['-', '<', '[']));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    fn line(words: &str) -> String {
        let words = words.split_whitespace().map(Into::into).collect();
        let error = crate::args::parse(words).unwrap_err();
        super::answer(&error).unwrap_err().to_string()
    }

    #[test]
    fn usage_errors_are_one_line_and_lead_to_the_help() {
        assert_eq!(
            line("etcdprefix change-prefix --db s"),
            "the following required arguments were not provided: --dest-prefix <PREFIX>; \
             try: `etcdprefix change-prefix --help`"
        );
        assert_eq!(
            line("modify-prefix modify-prefix --db=s --dest-prefix=/c --bucket=lease"),
            "invalid value 'lease' for '--bucket <BUCKET>' [possible values: key]; try: --help"
        );
        assert_eq!(
            line("etcdprefix change-prefix --db s --dest-prefix /c --outptu x"),
            "unexpected argument '--outptu' found; try: a similar argument exists: '--output'; \
             `etcdprefix change-prefix --help`"
        );
    }
}
