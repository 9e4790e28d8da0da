//! Lists the images of a NAVER Cloud Platform Container Registry, one name per line.
//!
//! Needs the crates `ncloud-container-registry` and `serde_json` 1: copy this file to use it.
//!
//! People delete by this list, so it is complete or an error. A deletion moves images between pages:
//! read the whole list before you delete anything.

#![allow(clippy::indexing_slicing)] // of JSON, where what is missing is null

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::{env, error::Error, process::ExitCode};

use ncloud_container_registry::Client;

const USAGE: &str = "\
usage: list_images REGISTRY [PREFIX]
Lists the images of a registry, or those whose names begin with a prefix, one per line (API v2).
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
        _ => Err(USAGE.into()),
    };
    match listed.map(|names| io::stdout().write_all(names.as_bytes())) {
        // Whoever reads the list may stop early, as `head` does.
        Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => eprintln!("{error}"),
        Err(error) => eprintln!("{}", error.to_string().trim_end()),
        Ok(_) => return ExitCode::SUCCESS,
    }
    ExitCode::from(2)
}

/// More than a registry should hold: no server makes this program read without end.
const MAX_IMAGES: usize = 100_000;

fn list(registry: &str, prefix: &str) -> Result<String, Box<dyn Error>> {
    let client = Client::from_env()?;
    let (mut names, mut page, mut total) = (BTreeSet::new(), 0, None);
    loop {
        page += 1;
        let query = [("page", &*page.to_string()), ("pagesize", "100")];
        let body = client.get(&["repositories", registry], &query)?;
        let list: serde_json::Value = serde_json::from_str(&body)?;
        let results = list["results"].as_array();
        let results = results.ok_or_else(|| format!("page {page} of {registry} is no list"))?;
        let before = names.len();
        for image in results {
            let name = image["name"].as_str().unwrap_or_default();
            if !name.contains(char::is_control) && (1..=255).contains(&name.len()) {
                names.insert(name.to_owned());
            }
        }
        let count = list["count"].clone();
        let is_last = list["next"].is_null();
        // A list that changes while it is read repeats a name, or leaves one out.
        let is_complete = names.len() - before == results.len()
            && names.len() <= MAX_IMAGES
            && *total.get_or_insert_with(|| count.clone()) == count
            && if is_last {
                count == names.len()
            } else {
                list["next"] == page + 1 && !results.is_empty()
            };
        if !is_complete {
            let text = format!("incomplete list of {registry} on page {page}; run it again");
            return Err(text.into());
        }
        if is_last {
            let wanted = names.iter().filter(|name| name.starts_with(prefix));
            return Ok(wanted.flat_map(|name| [name.as_str(), "\n"]).collect());
        }
    }
}
