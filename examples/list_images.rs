//! Lists the images of a NAVER Cloud Platform Container Registry, one name per line.
//!
//! Needs the crates `ncloud-container-registry` and `serde_json` 1: copy this file to use it.

#![allow(clippy::indexing_slicing)] // of JSON, where what is missing is null

use std::io::{self, Write};
use std::{env, error::Error, process::ExitCode};

use ncloud_container_registry::Client;

const USAGE: &str = "\
usage: list_images REGISTRY [PREFIX]
Lists the images of a registry, or those whose names begin with a prefix, one per line.
Keys and region: NCLOUD_ACCESS_KEY_ID, NCLOUD_SECRET_ACCESS_KEY, NCLOUD_REGION.
Exit status: 0 if all went well, 2 if not.
";

fn main() -> ExitCode {
    let arguments = env::args_os().skip(1);
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let arguments: Vec<_> = arguments.collect();
    let is_name = |name: &str| !name.is_empty() && !name.starts_with('-');
    let listed = match &*arguments {
        [help] if help == "--help" || help == "-h" => Ok(USAGE.to_owned()),
        [registry] if is_name(registry) => list(registry, ""),
        [registry, prefix] if is_name(registry) && is_name(prefix) => list(registry, prefix),
        _ => Err(format!("expected a registry and at most one prefix\n{USAGE}").into()),
    };
    match listed.map(|names| io::stdout().write_all(names.as_bytes())) {
        // Whoever reads the list may stop early, as `head` does.
        Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => eprintln!("{error}"),
        Err(error) => eprintln!("{}", error.to_string().trim_end()),
        Ok(_) => return ExitCode::SUCCESS,
    }
    ExitCode::from(2)
}

/// Reads the names on all pages: people delete by this list, so it is complete or an error.
fn list(registry: &str, prefix: &str) -> Result<String, Box<dyn Error>> {
    let client = Client::from_env()?;
    let (mut names, mut page) = (Vec::new(), 0);
    loop {
        page += 1;
        let query = [("page", &*page.to_string()), ("pagesize", "100")];
        let body = client.get(&["repositories", registry], &query)?;
        let list: serde_json::Value = serde_json::from_str(&body)?;
        for image in list["results"].as_array().into_iter().flatten() {
            names.extend(image["name"].as_str().map(|name| format!("{name}\n")));
        }
        let is_last = list["next"].is_null();
        let is_plain = |name: &String| name.matches(char::is_control).count() == 1;
        if is_last && list["count"] == names.len() && names.iter().all(is_plain) {
            names.retain(|name| name.starts_with(prefix));
            return Ok(names.concat());
        }
        if list["next"] != page + 1 {
            return Err(
                format!("incomplete list of {registry} on page {page}; run it again").into(),
            );
        }
    }
}
