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
    cargo run --example clean_up -- my-registry
    cargo run --example delete_image -- --dry-run my-registry hello/world
    cargo run --example delete_image -- my-registry hello/world";

fn main() -> Result<(), Box<dyn Error>> {
    let gateway = Gateway::with(&["my-registry/hello/moon", "my-registry/hello/world"]);
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY)?;
    let client = Client::builder(gateway.url(), credentials).build()?;
    println!("A gateway on this machine mimics the service, and checks every signature.\n");
    show_images(&client)?;

    println!("A dry run, client.image_url(\"my-registry\", \"hello/world\"), sends nothing:");
    println!(
        "    DELETE {}\n",
        client.image_url("my-registry", "hello/world")?
    );

    println!(
        "client.delete_image(\"my-registry\", \"hello/world\") sends that, and the response is"
    );
    client.delete_image("my-registry", "hello/world")?;
    let responses = gateway.responses();
    let response = responses.last().map_or("", String::as_str);
    println!("    {}\n", response.lines().next().unwrap_or_default());
    show_images(&client)?;

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
    println!("The registry my-registry holds {}:", list["count"]);
    for image in images {
        println!("    {}", image["name"].as_str().unwrap_or_default());
    }
    println!();
    Ok(())
}
