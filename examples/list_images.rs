//! Lists the images of a NAVER Cloud Platform Container Registry, one name per line.
//!
//! Needs the crates `ncloud-container-registry` and `serde_json` 1: copy this file to use it.

#![allow(clippy::indexing_slicing)] // of JSON, where what is missing is null

use std::io::{self, Write};
use std::{env, error::Error, process::ExitCode};

use ncloud_container_registry::{Client, ureq, ureq::http::Method};

const USAGE: &str = "\
usage: list_images REGISTRY [PREFIX]
Lists the images of a registry, or those whose names begin with a prefix, one per line.
Keys and region: NCLOUD_ACCESS_KEY_ID, NCLOUD_SECRET_ACCESS_KEY, NCLOUD_REGION.
Exit status: 0 if all went well, 2 if not.
";

fn main() -> ExitCode {
    let arguments = env::args_os().skip(1);
    let arguments: Vec<_> = arguments
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let is_name = |name: &str| !name.is_empty() && !name.starts_with('-');
    let listed = match &arguments[..] {
        [help] if help == "--help" || help == "-h" => Ok(USAGE.to_owned()),
        [registry] if is_name(registry) => list(registry, ""),
        [registry, prefix] if is_name(registry) && is_name(prefix) => list(registry, prefix),
        _ => Err(format!("expected a registry and at most one prefix\n{USAGE}").into()),
    };
    // Whoever reads the list may stop early, as `head` does.
    let is_closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    let printed = listed.and_then(|names| match io::stdout().write_all(names.as_bytes()) {
        Err(error) if !is_closed(&error) => Err(error.into()),
        _ => Ok(()),
    });
    if let Err(error) = printed {
        eprintln!("{}", error.to_string().trim_end());
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// The names on all pages: people delete by this list, so it is complete or an error.
fn list(registry: &str, prefix: &str) -> Result<String, Box<dyn Error>> {
    let client = Client::from_env()?;
    let failed = |why: String| format!("cannot list {}: {why}", registry.escape_debug());
    let agent = ureq::agent(); // the settings come with each request
    let (mut names, mut page) = (Vec::new(), Some(1));
    while let Some(number) = page {
        let (path, number_text) = (["repositories", registry], number.to_string());
        let query = [("page", &*number_text), ("pagesize", "100")];
        let request = client.sign_request(Method::GET, &path, &query)?;
        let request = agent
            .configure_request(request)
            .http_status_as_error(false)
            .build();
        let mut response = agent
            .run(request)
            .map_err(|error| failed(error.to_string()))?;
        let body = response.body_mut().read_to_string();
        let body = body.map_err(|error| failed(error.to_string()))?;
        let said: String = body.chars().filter(|c| !c.is_control()).take(500).collect();
        let failed = |why| failed(format!("{why}{}: {said}", response.status()));
        if response.status() != 200 {
            return Err(failed("").into());
        }
        let list: serde_json::Value =
            serde_json::from_str(&body).map_err(|_| failed("not JSON, "))?;
        for image in list["results"]
            .as_array()
            .ok_or_else(|| failed("not a list, "))?
        {
            let name = image["name"]
                .as_str()
                .filter(|name| !name.contains(char::is_control));
            names.push(
                name.ok_or_else(|| failed("an image without a name, "))?
                    .to_owned()
                    + "\n",
            );
        }
        page = list["next"].as_u64().filter(|next| *next == number + 1);
        if page.is_none() && (list["count"] != names.len() || !list["next"].is_null()) {
            return Err(failed("incomplete, run it again, ").into());
        }
    }
    names.retain(|name| name.starts_with(prefix));
    Ok(names.concat())
}
