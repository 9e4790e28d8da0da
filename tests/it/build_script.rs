//! The build script of README, in a crate of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY, response};

/// A crate with the build script, which is built in a target directory that later runs share.
struct Package(PathBuf);

impl Package {
    fn new() -> Package {
        let readme = include_str!("../../README.md");
        let (_, section) = readme.split_once("\n## In a build script\n").unwrap();
        let (_, script) = section.split_once("```rust,no_run\n").unwrap();
        let (script, _) = script.split_once("```\n").unwrap();
        let name = format!("build-script-{}", std::process::id());
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(root.join("src")).unwrap();
        // Without default features, since loopback needs no TLS.
        let manifest = format!(
            "[package]\nname = \"tidy\"\nedition = \"2024\"\n[workspace]\n[build-dependencies]\n\
             ncloud-container-registry = {{ path = {:?}, default-features = false }}\n",
            env!("CARGO_MANIFEST_DIR"),
        );
        fs::write(root.join("Cargo.toml"), manifest).unwrap();
        fs::write(root.join("build.rs"), script).unwrap();
        fs::write(root.join("src/lib.rs"), "").unwrap();
        // The versions that this crate is tested with, which are on this machine.
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
        fs::copy(lock, root.join("Cargo.lock")).unwrap();
        Package(root)
    }

    /// Runs `cargo check`, and returns the warnings of the build script.
    #[track_caller]
    fn check(&self, gateway: &Gateway, stale_image: Option<&str>) -> Vec<String> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["check", "--offline", "--color", "never", "--target-dir"])
            .arg(self.0.with_file_name("build-script"))
            .current_dir(&self.0)
            .env("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY)
            .env("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("NCR_API_URL", gateway.url())
            .env_remove("NCLOUD_ACCESS_KEY")
            .env_remove("NCLOUD_SECRET_KEY")
            .env_remove("NCLOUD_PROFILE")
            .env_remove("STALE_IMAGE")
            .envs(stale_image.map(|image| ("STALE_IMAGE", image)));
        let output = cargo.output().unwrap();
        let shown = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{shown}");
        let warnings = shown
            .lines()
            .filter(|line| line.starts_with("warning: tidy"));
        warnings.map(str::to_owned).collect()
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn build_script_deletes_if_asked_and_tries_again_after_a_failure() {
    let gateway = Gateway::with(&["my-registry/hello/world"]);
    let package = Package::new();
    for off in [None, Some("")] {
        assert_eq!(package.check(&gateway, off), [""; 0]);
    }
    gateway.assert_connections(0);

    let stale_image = Some("hello/world");
    for _ in 0..3 {
        gateway.respond(response("503 Service Unavailable", "", ""));
    }
    let told = package.check(&gateway, stale_image).concat();
    let failed =
        "my-registry/hello/world may have been deleted: 503 Service Unavailable, 3 attempts";
    assert!(told.contains(failed), "{told}");
    gateway.assert_requests(3);

    // Nothing has changed but that the service is back.
    let told = package.check(&gateway, stale_image).concat();
    assert!(
        told.contains("my-registry/hello/world was deleted"),
        "{told}"
    );
    assert_eq!(gateway.images(), [""; 0]);
    gateway.assert_requests(4);

    // After a success, Cargo only repeats the warning.
    package.check(&gateway, stale_image);
    gateway.assert_requests(4);
}
