//! Deletes images; without arguments, from a gateway of its own on loopback.

use std::process::ExitCode;

use ncloud_container_registry::{Client, Credentials, ErrorKind, Region};

use gateway::Gateway;

#[path = "../tests/it/gateway.rs"]
mod gateway;

const USAGE: &str = "\
Deletes images from a NAVER Cloud Platform Container Registry, with all of their tags. This cannot
be undone.

usage: delete_image [--dry-run] [--if-exists] REGISTRY IMAGE...
       delete_image          shows a deletion on a loopback gateway: no account, no network
       delete_image --help   shows this text

  --dry-run     show what would be sent, and send nothing
  --if-exists   an image that does not exist is no failure (nor is one in a misspelt registry)

List, look, then delete by name:
  cargo run --example list_images -- my-registry hello/ > images.txt
  (look at images.txt, and remove the lines of the images to keep)
  cargo run --example delete_image -- my-registry $(cat images.txt)

Keys:   NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY, or the file ~/.ncloud/configure
Region: NCLOUD_REGION and NCLOUD_SITE: KR, SGN or JPN on the site public, which is the default,
        KR or KRS on gov, FKR on fin; or an API URL in NCR_API_URL
Exit status: 0 if all went well, 1 if an image failed, 2 for wrong usage, keys or region
";

fn main() -> ExitCode {
    let mut dry_run = false;
    let mut if_exists = false;
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_none() {
        return match demonstrate() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the demonstration failed: {error}");
                ExitCode::FAILURE
            }
        };
    }
    for argument in arguments {
        match argument.as_str() {
            "--help" | "-h" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            "--dry-run" => dry_run = true,
            "--if-exists" => if_exists = true,
            option if option.starts_with('-') => {
                eprint!("unknown option {option:?}\n\n{USAGE}");
                return ExitCode::from(2);
            }
            _ => names.push(argument),
        }
    }
    let Some((registry, images)) = names.split_first().filter(|(_, images)| !images.is_empty())
    else {
        eprint!(
            "give a registry and at least one image, such as: my-registry hello/world\n\n{USAGE}"
        );
        return ExitCode::from(2);
    };
    let client = match Client::from_env() {
        Ok(client) => client,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let mut status = ExitCode::SUCCESS;
    for image in images {
        let done = if dry_run {
            client.sign_delete_image(registry, image).map(|request| {
                let (method, url) = (request.method(), request.url());
                format!("would delete {registry}/{image}: {method} {url}")
            })
        } else if if_exists {
            client
                .delete_image_if_exists(registry, image)
                .map(|deleted| {
                    let what = if deleted { "deleted" } else { "absent" };
                    format!("{what} {registry}/{image}")
                })
        } else {
            let deleted = client.delete_image(registry, image);
            deleted.map(|()| format!("deleted {registry}/{image}"))
        };
        match done {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("{error}");
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}

fn demonstrate() -> Result<(), Box<dyn std::error::Error>> {
    let gateway = Gateway::with(&[
        "my-registry/hello/moon",
        "my-registry/hello/world",
        "my-registry/tools/build",
    ]);
    let credentials = Credentials::new(gateway::ACCESS_KEY, gateway::SECRET_KEY)?;
    let client = Client::builder(Region::Korea, credentials)
        .api_url(&gateway.url())
        .build()?;
    let show_images = || {
        let images = gateway.images();
        println!("The registry holds {} images:", images.len());
        for image in &images {
            println!("    {image}");
        }
        println!();
        images
    };

    println!(
        "A gateway on this machine plays the service, at {}",
        gateway.url()
    );
    println!("It checks every signature as the service does; its keys are good for nothing else.");
    println!();
    let mut expected = show_images();

    println!("client.delete_image(\"my-registry\", \"hello/world\") sends");
    client.delete_image("my-registry", "hello/world")?;
    let (requests, answers) = (gateway.requests(), gateway.answers());
    let (Some(request), Some(answer)) = (requests.first(), answers.first()) else {
        return Err("the gateway saw no request".into());
    };
    println!("    {}", request.line());
    for name in [
        "Content-Type",
        "x-ncp-apigw-timestamp",
        "x-ncp-iam-access-key",
        "x-ncp-apigw-signature-v2",
    ] {
        let [value] = *request.header(name) else {
            return Err(format!("the request does not have {name} once").into());
        };
        if name.contains("signature") {
            let shown: String = value.chars().take(8).collect();
            println!("    {name}: {shown}...");
        } else {
            println!("    {name}: {value}");
        }
    }
    println!("and the answer is");
    println!("    {}", answer.lines().next().unwrap_or_default());
    println!();
    expected.retain(|image| image != "my-registry/hello/world");
    if show_images() != expected {
        return Err("the gateway does not hold the other images alone".into());
    }

    println!("The same call again finds no such image, and says so:");
    match client.delete_image("my-registry", "hello/world") {
        Err(error) if error.kind() == ErrorKind::NotFound => println!("    {error}"),
        other => return Err(format!("the second call ended in {other:?}").into()),
    }
    println!();
    println!("Now for real. Set your keys and your region, and begin with a dry run:");
    println!("    export NCLOUD_ACCESS_KEY_ID=... NCLOUD_SECRET_ACCESS_KEY=... NCLOUD_REGION=KR");
    println!("    cargo run --example delete_image -- --dry-run my-registry hello/world");
    println!("    cargo run --example delete_image -- my-registry hello/world");
    Ok(())
}
