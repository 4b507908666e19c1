//! Tests that docs/hazards.md names have to exist.

use super::File;

const PAGE: &str = "docs/hazards.md";

/// One finding for each `module::test` of the page that is in no file of tests of that module.
pub fn check(files: &[File]) -> Vec<String> {
    let page = files.iter().find(|file| file.path == PAGE);
    let named = page.into_iter().flat_map(|page| page.text.split('`'));
    let tests = named.filter_map(|name| Some((name, name.split_once("::")?)));
    let missing = tests.filter(|(_, (module, test))| !exists(files, module, test));
    missing.map(|(name, _)| format!("{PAGE}: there is no test {name}")).collect()
}

fn exists(files: &[File], module: &str, test: &str) -> bool {
    let ends = [format!("/{module}.rs"), format!("/{module}/mod.rs")];
    let mut of_module = files.iter().filter(|file| {
        file.path.contains("/tests/") && ends.iter().any(|end| file.path.ends_with(end))
    });
    of_module.any(|file| file.text.contains(&format!("fn {test}(")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_gone_is_found() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let page = file(PAGE, "`live::there` and `live::gone`, `other::there`, `plain`");
        let files = [page, file("crates/a/tests/it/live.rs", "fn there() {}")];
        let found = check(&files);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].ends_with("live::gone"));
    }
}
