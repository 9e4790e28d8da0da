//! Deletes an image from a local stand-in for the service: needs no account and no network.

#![allow(clippy::indexing_slicing)] // of JSON, where what is missing is null

use std::error::Error;

use ncloud_container_registry::{Client, Credentials, ErrorKind};

use gateway::{ACCESS_KEY, Gateway, SECRET_KEY};

#[path = "../tests/it/gateway.rs"]
mod gateway;

const FOR_REAL: &str = "\
Now for real. Set your keys and your region, check the URL in a dry run, then delete:
    export NCLOUD_ACCESS_KEY_ID=... NCLOUD_SECRET_ACCESS_KEY=... NCLOUD_REGION=KR
    cargo run --example list_images -- my-registry
    cargo run --example delete_image -- --dry-run my-registry hello/world
    cargo run --example delete_image -- my-registry hello/world";

fn main() -> Result<(), Box<dyn Error>> {
    let gateway = Gateway::with(&[
        "my-registry/hello/moon",
        "my-registry/hello/world",
        "my-registry/tools/build",
    ]);
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY)?;
    let client = Client::builder(gateway.url(), credentials).build()?;
    println!(
        "A gateway at {} mimics the service, and checks",
        gateway.url()
    );
    println!("every signature as the service does. The keys of this demo work nowhere else.\n");
    show_images(&client)?;

    println!(
        "A dry run, client.sign_delete_image(\"my-registry\", \"hello/world\"), sends nothing:"
    );
    let request = client.sign_delete_image("my-registry", "hello/world")?;
    println!("    {} {}\n", request.method(), request.uri());
    let requests_before = gateway.requests().len();

    println!("client.delete_image(\"my-registry\", \"hello/world\") sends");
    client.delete_image("my-registry", "hello/world")?;
    let requests = gateway.requests();
    let [request] = requests.get(requests_before..).unwrap_or_default() else {
        return Err("the gateway should have seen one deletion".into());
    };
    for line in request.head.lines().filter(|line| !line.is_empty()) {
        // Keep signatures, which are valid for five minutes, out of logs.
        let shown = line
            .split_once("signature-v2: ")
            .map_or(line.len(), |(name, _)| name.len() + 22);
        let end = if shown < line.len() { "..." } else { "" };
        println!("    {}{end}", line.get(..shown).unwrap_or(line));
    }
    println!("and the response is");
    let responses = gateway.responses();
    let response = responses.last().map_or("", String::as_str);
    println!("    {}\n", response.lines().next().unwrap_or_default());
    show_images(&client)?;
    if gateway.images() != ["my-registry/hello/moon", "my-registry/tools/build"] {
        return Err("the gateway should hold only the other images".into());
    }

    println!("The same call again finds no such image:");
    match client.delete_image("my-registry", "hello/world") {
        Err(error) if error.kind() == ErrorKind::NotFound => println!("    {error}\n"),
        other => return Err(format!("the second call ended in {other:?}").into()),
    }
    println!("{FOR_REAL}");
    Ok(())
}

fn show_images(client: &Client) -> Result<(), Box<dyn Error>> {
    let body = client.get(&["repositories", "my-registry"], &[("page", "1")])?;
    let list: serde_json::Value = serde_json::from_str(&body)?;
    let images = list["results"].as_array().ok_or("not a list")?;
    println!("The registry holds {} images:", images.len());
    for image in images {
        println!(
            "    my-registry/{}",
            image["name"].as_str().unwrap_or_default()
        );
    }
    println!();
    Ok(())
}
