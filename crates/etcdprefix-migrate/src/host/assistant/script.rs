//! What is run on an instance, as text for `sh`. All that comes from outside stands in single quotes.

use crate::config::Fetched;
use crate::host::{HostError, Installed, Work};

use super::wait::Said;

/// An agent may have been started with less.
const PATH: &str = "#!/bin/sh\nPATH=\"$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n\
                    export PATH\numask 077\n";

/// Behind the variables `dir` and, by the kind of machine, `url`, `sum` and `name`.
const FETCH: &str = r#"path="$dir/$name"
sum_of() { sha256sum < "$1" 2>/dev/null | cut -d' ' -f1; }
copied=false
if [ ! -f "$path" ] || [ "$(sum_of "$path")" != "$sum" ]; then
  mkdir -p "$dir" || exit 62
  find "$dir" -name '.etcdprefix-*' -mmin +10 -exec rm -f {} + 2>/dev/null
  tmp="$dir/.$name.$$"
  trap 'rm -f "$tmp"' EXIT
  trap 'exit 1' HUP INT TERM
  if command -v curl >/dev/null 2>&1; then
    curl -fsSL --connect-timeout 20 -o "$tmp" -- "$url"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -T 20 -O "$tmp" -- "$url"
  else
    echo "there is neither curl nor wget"; exit 63
  fi || { echo "$url can not be fetched"; exit 64; }
  found=$(sum_of "$tmp")
  [ "$found" = "$sum" ] || { echo "$url has SHA-256 $found, not $sum"; exit 65; }
  chmod 700 "$tmp" && mv -f "$tmp" "$path" || exit 62
  copied=true
fi
"$path" --version >/dev/null || { echo "$path does not run here"; exit 66; }
printf '\netcdprefix-installed %s %s\n' "$copied" "$(uname -m)"
"#;

/// A way to a binary and a reply.
pub struct Ask<'a> {
    /// The binary on the host.
    pub path: &'a str,
    /// Where the host remembers.
    pub state: &'a str,
    /// Of the relay.
    pub id: &'a str,
    /// Of a page.
    pub page_bytes: usize,
}

/// Puts the binary of the machine's kind there, unless it is.
pub fn install(folder: &str, binaries: &[(String, Fetched)]) -> Result<String, HostError> {
    let mut script = format!("{PATH}dir={}\ncase \"$(uname -m)\" in\n", quoted(folder)?);
    for (arch, fetched) in binaries {
        let (url, sum) = (quoted(&fetched.url)?, sha256(fetched));
        let (arch, name) = (quoted(arch)?, quoted(&name(sum))?);
        script.push_str(&format!("{arch}) url={url} sum={} name={name};;\n", quoted(sum)?));
    }
    script.push_str("*) echo \"no binary for $(uname -m)\"; exit 61;;\nesac\n");
    Ok(script + FETCH)
}

/// What [`install`] has done, or why not.
pub fn installed(
    folder: &str,
    binaries: &[(String, Fetched)],
    said: &Said,
) -> Result<Installed, String> {
    let text = String::from_utf8_lossy(&said.output);
    let done = text.lines().rev().find_map(|line| line.strip_prefix("etcdprefix-installed "));
    let Some((copied, arch)) = done.and_then(|done| done.trim().split_once(' ')) else {
        let advice = match said.exit_code {
            Some(61) => "; try: --binary-url ARCH=URL for it",
            Some(64) => "; try: a URL that the hosts can fetch without signing in",
            Some(65) => {
                "; try: --binary-sha256 of that very file; unless it is given, it is that of the program you run"
            }
            Some(66) => "; try: a static binary",
            _ => "",
        };
        return Err(format!("cannot put the binary there: {}{advice}", said.told()));
    };
    let found = binaries.iter().find(|(kind, _)| kind == arch);
    let sha256 = found.map(|(_, fetched)| sha256(fetched)).unwrap_or_default().to_owned();
    let path = format!("{folder}/{}", name(&sha256));
    Ok(Installed { path, sha256, copied: copied == "true" })
}

/// Runs the binary there; its reply is sealed, and its first page printed.
pub fn run(
    ask: &Ask<'_>,
    recipient: &str,
    forget: &[String],
    work: &Work,
) -> Result<String, HostError> {
    let mut words = ask.words();
    words.extend(["--recipient", recipient].map(str::to_owned));
    for id in forget {
        words.extend(["--forget", id].map(str::to_owned));
    }
    words.push("--".into());
    words.extend(work.args.iter().cloned());
    let odd = || HostError::Refused("what is asked for is no text".into());
    let input = str::from_utf8(&work.stdin).map_err(|_| odd())?;
    let end = format!("END-{}", ask.id);
    if input.contains('\0') || input.lines().any(|line| line == end) {
        return Err(odd());
    }
    Ok(format!("{PATH}exec {} <<'{end}'\n{input}\n{end}\n", line(ask.path, &words)?))
}

/// Prints another page.
pub fn page(ask: &Ask<'_>, offset: usize) -> Result<String, HostError> {
    let mut words = ask.words();
    words.extend(["--offset".into(), offset.to_string()]);
    Ok(format!("{PATH}exec {} </dev/null\n", line(ask.path, &words)?))
}

impl Ask<'_> {
    fn words(&self) -> Vec<String> {
        let bytes = self.page_bytes.to_string();
        let words =
            ["node", "relay", "--state", self.state, "--id", self.id, "--page-bytes", &bytes];
        words.map(str::to_owned).into()
    }
}

/// The last line: whatever these hosts are sent, whoever may look at the account can read.
pub fn refuse_secrets(work: &Work) -> Result<(), HostError> {
    let call: Result<serde_json::Value, _> = serde_json::from_slice(&work.stdin);
    let environment = call.ok().and_then(|call| call.get("environment").cloned());
    match environment.is_none_or(|set| set.as_object().is_some_and(serde_json::Map::is_empty)) {
        true => Ok(()),
        false => Err(HostError::Refused(
            "credentials are never sent through the cloud's API; try: a role of the instance, or \
             --store-credentials with a folder there"
                .into(),
        )),
    }
}

fn line(path: &str, words: &[String]) -> Result<String, HostError> {
    let words = [path].into_iter().chain(words.iter().map(String::as_str));
    Ok(words.map(quoted).collect::<Result<Vec<_>, _>>()?.join(" "))
}

/// One word for `sh`, whatever is in it.
fn quoted(word: &str) -> Result<String, HostError> {
    match word.contains('\0') {
        true => Err(HostError::Refused(format!("{word:?} can't be said to a host"))),
        false => Ok(format!("'{}'", word.replace('\'', r"'\''"))),
    }
}

fn sha256(fetched: &Fetched) -> &str {
    fetched.sha256.as_deref().unwrap_or_default()
}

/// In the folder; another version is another file.
fn name(sha256: &str) -> String {
    format!("etcdprefix-{}", sha256.get(..16).unwrap_or(sha256))
}
