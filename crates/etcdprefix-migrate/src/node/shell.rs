//! As much of a shell's language as is needed to find a program and its flags in `sh -c "…"`.

const SHELLS: [&str; 5] = ["sh", "bash", "ash", "dash", "zsh"];

/// What comes after the last slash.
pub(crate) fn basename(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

/// The words of a command; where a shell is given a script, the script's words in its place.
pub(crate) fn unfold(words: Vec<String>) -> Vec<String> {
    let Some(script) = script_at(&words) else { return words };
    let unfolded = words.iter().enumerate().flat_map(|(at, word)| match at == script {
        true => split(word),
        false => vec![word.clone()],
    });
    unfolded.collect()
}

/// `sh -c SCRIPT`, `sh -ec SCRIPT`, `busybox sh -c SCRIPT`.
fn script_at(words: &[String]) -> Option<usize> {
    let shell = words.iter().take(3).position(|word| SHELLS.contains(&basename(word)))?;
    let is_script_flag =
        |word: &String| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c');
    let flag = shell + 1 + words.iter().skip(shell + 1).position(is_script_flag)?;
    (flag + 1 < words.len()).then_some(flag + 1)
}

/// Blanks and operators divide words; quotes and backslashes hold them together.
fn split(script: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = script.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (end, Some(open)) if end == open => quote = None,
            ('\\', None | Some('"')) => {
                // A backslash at the end of a line joins it with the next.
                let next = letters.next().filter(|next| *next != '\n');
                word = next.map(|next| grown(word.take(), next)).or(word);
            }
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, None) if letter.is_whitespace() || ";&|()<>".contains(letter) => {
                words.extend(word.take());
            }
            (letter, _) => word = Some(grown(word.take(), letter)),
        }
    }
    words.extend(word);
    words
}

fn grown(word: Option<String>, letter: char) -> String {
    let mut word = word.unwrap_or_default();
    word.push(letter);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn scripts_become_words() {
        let script =
            "set -e; exec /usr/bin/kube-apiserver --a=1 \\\n  --b \"x y\" '--c=d'\\ e 2>&1 | tee l";
        let words = unfold(owned(&["/bin/sh", "-ec", script, "name"]));
        let expected = [
            "/bin/sh",
            "-ec",
            "set",
            "-e",
            "exec",
            "/usr/bin/kube-apiserver",
            "--a=1",
            "--b",
            "x y",
            "--c=d e",
            "2",
            "1",
            "tee",
            "l",
            "name",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn other_commands_stay() {
        for words in [&["etcd", "-c", "a b"][..], &["sh", "file", "a b"], &["sh", "-c"], &[]] {
            assert_eq!(unfold(owned(words)), words);
        }
    }
}
