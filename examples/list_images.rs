//! Lists images, with a call that the crate lacks. Without arguments, from a gateway on loopback.

#![allow(clippy::indexing_slicing)] // only of JSON: what is missing there is null

use ncloud_container_registry::{Client, Credentials, Region, percent_encode, ureq};
use std::{env, error::Error, process::ExitCode, time::Duration, time::UNIX_EPOCH};

#[path = "../tests/it/gateway.rs"]
mod gateway;

const USAGE: &str = "\
usage: list_images [REGISTRY [PREFIX]]  (without arguments: a loopback gateway, no account)

List, look, then delete by name:
  cargo run --example list_images -- my-registry hello/ > images.txt
  (look at images.txt, and remove the lines of the images to keep)
  cargo run --example delete_image -- my-registry $(cat images.txt)
Keys and region: see delete_image --help. Exit status: 0 if all went well, 2 if not.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let listed = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--help" | "-h"] => Ok(format!("{USAGE}\n")),
        [] => list_loopback(),
        [registry] if !registry.starts_with('-') => list_for_real(registry, ""),
        [registry, prefix] if !prefix.is_empty() => list_for_real(registry, prefix),
        _ => Err(format!("give a registry, and a prefix or none\n\n{USAGE}").into()),
    };
    match &listed {
        Ok(names) => print!("{names}"),
        Err(error) => eprintln!("{error}"),
    }
    ExitCode::from(if listed.is_ok() { 0 } else { 2 })
}

type Listed = Result<String, Box<dyn Error>>;

fn list_loopback() -> Listed {
    let gateway = gateway::Gateway::with(&["my-registry/hello/moon", "my-registry/hello/world"]);
    let credentials = Credentials::new(gateway::ACCESS_KEY, gateway::SECRET_KEY)?;
    list(&gateway.url(), &credentials, "my-registry", "")
}

fn list_for_real(registry: &str, prefix: &str) -> Listed {
    Client::from_env()?.sign_delete_image(registry, "x")?; // checks registry and environment
    let region = match env::var("NCLOUD_REGION").unwrap_or_default().as_str() {
        "SGN" => Region::Singapore,
        "JPN" => Region::Japan,
        "KRS" => Region::GovKoreaSouth,
        "FKR" => Region::FinKorea,
        _ if env::var("NCLOUD_SITE").is_ok_and(|site| site == "gov") => Region::GovKorea,
        _ => Region::Korea,
    };
    let api_url = env::var("NCR_API_URL").unwrap_or(region.api_url().to_owned());
    let keys = Credentials::load()?;
    list(api_url.trim_end_matches('/'), &keys, registry, prefix)
}

/// One name a line, of all pages: the list may be used to delete, so it is whole or an error.
fn list(api_url: &str, keys: &Credentials, registry: &str, prefix: &str) -> Listed {
    let proxy = ureq::Proxy::try_from_env().filter(|_| api_url.starts_with("https:"));
    let config = ureq::Agent::config_builder().proxy(proxy).max_redirects(0);
    let config = config.timeout_global(Some(Duration::from_secs(60)));
    let agent = config.build().new_agent();
    let (registry, mut names, mut page) = (percent_encode(registry), Vec::new(), Some(1));
    while let Some(number) = page {
        let url = format!("{api_url}/repositories/{registry}?page={number}&pagesize=100");
        let uri: ureq::http::Uri = url.parse()?;
        let target = uri.path_and_query().ok_or("no path")?.as_str();
        let now_ms = u64::try_from(UNIX_EPOCH.elapsed()?.as_millis())?;
        let request = agent.get(&url).header("Content-Type", "application/json");
        let request = request.header("x-ncp-apigw-timestamp", now_ms.to_string());
        let request = request.header("x-ncp-iam-access-key", keys.access_key());
        let signature = keys.sign("GET", target, now_ms);
        let request = request.header("x-ncp-apigw-signature-v2", signature);
        let failed =
            |error| format!("cannot list {registry}: {error}; check names, keys and clock");
        let mut response = request.call().map_err(failed)?;
        let list: serde_json::Value = serde_json::from_reader(response.body_mut().as_reader())?;
        let images = list["results"].as_array().ok_or("no list of images")?;
        for image in images {
            let name = image["name"].as_str().ok_or("an image has no name")?;
            names.push(format!("{name}\n"));
        }
        page = list["next"].as_u64().filter(|next| *next > number);
        if page.is_none() && list["count"] != names.len() {
            return Err("the list is not whole".into());
        }
    }
    names.retain(|name| name.starts_with(prefix));
    Ok(names.concat())
}
