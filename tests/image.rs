//! The image's first layer, of the dependencies alone, builds: its stand-ins are a workspace that cargo can read.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

#[test]
fn the_stand_ins_for_the_sources_are_a_workspace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dockerfile = fs::read_to_string(root.join("Dockerfile")).unwrap().replace("\\\n", " ");
    let folder = tempfile::tempdir().unwrap();
    let (source, tools) = (folder.path().join("src"), folder.path().join("bin"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&tools).unwrap();
    // Instead of building for minutes, cargo says what it would build; the stable one has to be made to.
    let cargo = tools.join("cargo");
    let plans = format!(
        "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec '{}' \"$@\" --offline --unit-graph -Z unstable-options\n",
        env!("CARGO")
    );
    fs::write(&cargo, plans).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());

    let mut plan = None;
    for line in dockerfile.lines() {
        if let Some(files) = line.strip_prefix("COPY ") {
            let files: Vec<_> = files.split_whitespace().collect();
            let (target, files) = files.split_last().unwrap();
            let target = source.join(target.trim_end_matches('/'));
            fs::create_dir_all(&target).unwrap();
            for file in files {
                let name = Path::new(file).file_name().unwrap();
                fs::copy(root.join(file), target.join(name)).unwrap();
            }
        } else if let Some(script) = line.strip_prefix("RUN ") {
            let ran = Command::new("sh")
                .args(["-euc", script])
                .current_dir(&source)
                .env("PATH", path)
                .output()
                .unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            plan = Some(String::from_utf8(ran.stdout).unwrap());
            break;
        }
    }
    let plan = plan.expect("a RUN that builds the dependencies");
    assert!(plan.contains("/src/src/main.rs") && plan.contains("rusqlite"), "{plan}");
}
