//! Lists the images of a NAVER Cloud Platform Container Registry, one name a line.
//!
//! Needs the crates `ncloud-container-registry` and `serde_json` (1): copy this file to use it.

#![allow(clippy::indexing_slicing)] // of JSON, where what is missing is null

use std::error::Error;
use std::io::{self, Write};
use std::{env, process::ExitCode};

use ncloud_container_registry::{Client, ureq, ureq::http::Method};
use serde_json::Value;

const USAGE: &str = "\
usage: list_images REGISTRY [PREFIX]
Lists the images of a registry, or those whose names begin with a prefix, one a line.
Keys and region: as for delete_image. Exit status: 0 if all went well, 1 if not, 2 for wrong
usage, keys or region.
";

fn main() -> ExitCode {
    let arguments = env::args_os().skip(1);
    let arguments: Vec<_> = arguments
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    if let [help] = &arguments[..]
        && (help == "--help" || help == "-h")
    {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let is_name = |argument: &String| !argument.is_empty() && !argument.starts_with('-');
    if !(1..=2).contains(&arguments.len()) || !arguments.iter().all(is_name) {
        eprint!("a registry is needed, and at most one prefix\n{USAGE}");
        return ExitCode::from(2);
    }
    let client = match Client::from_env() {
        Ok(client) => client,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let registry = &arguments[0];
    let names = match list(&client, registry) {
        Ok(names) => names,
        Err(error) => {
            eprintln!("cannot list {}: {error}", registry.escape_debug());
            return ExitCode::FAILURE;
        }
    };
    let prefix = arguments.get(1).map_or("", String::as_str);
    for name in names.iter().filter(|name| name.starts_with(prefix)) {
        if writeln!(io::stdout(), "{name}").is_err() {
            break; // nobody reads on, as with `| head`
        }
    }
    ExitCode::SUCCESS
}

/// The names on all pages: the list may be used to delete, so it is complete or an error.
fn list(client: &Client, registry: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let agent = ureq::agent(); // the settings come with each request
    let mut names = Vec::new();
    for page in 1_u64.. {
        let (path, number) = (["repositories", registry], page.to_string());
        let query = [("page", &*number), ("pagesize", "100")];
        let request = client.sign_request(Method::GET, &path, &query)?;
        let request = agent
            .configure_request(request)
            .http_status_as_error(false)
            .build();
        let mut response = agent.run(request)?;
        let body = response.body_mut().read_to_string()?;
        if response.status() != 200 {
            let body: String = body.chars().filter(|c| !c.is_control()).take(500).collect();
            return Err(format!("{}: {body}", response.status()).into());
        }
        let list: Value = serde_json::from_str(&body)?;
        for image in list["results"]
            .as_array()
            .ok_or("the answer is no list of images")?
        {
            let name = image["name"].as_str().ok_or("an image has no name")?;
            names.push(name.to_owned());
        }
        if list["next"].as_u64() != Some(page + 1) {
            let is_complete = list["count"] == names.len() && list["next"].is_null();
            return if is_complete {
                Ok(names)
            } else {
                Err("the list is incomplete".into())
            };
        }
    }
    unreachable!()
}
