//! A test that needs a process of its own.

/// Runs the rest of a test in a process of its own, with these variables.
///
/// Whether this is that process.
pub(crate) fn alone(test: &str, variables: &[(&str, &str)]) -> bool {
    if std::env::var("TEST_ALONE").is_ok_and(|alone| alone == test) {
        return true;
    }
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("TEST_ALONE", test)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&out.stderr));
    false
}
