//! Deletes images from a NAVER Cloud Platform Container Registry.
//!
//! Needs no crate but `ncloud-container-registry`: copy this file to use it.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use ncloud_container_registry::{Client, Error};

const USAGE: &str = "\
usage: delete_image [--dry-run] [--if-exists] REGISTRY IMAGE...
For example: delete_image --dry-run my-registry hello/world
For more, use --help.
";

const HELP: &str = "\
Deletes images, each with all of its tags. This cannot be undone.

usage: delete_image [--dry-run] [--if-exists] REGISTRY IMAGE...

  --dry-run    show what would be sent and to which URL, and send nothing
  --if-exists  a missing image, or a misspelt registry, is not a failure

Keys:   NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY, or the file ~/.ncloud/configure (section
        NCLOUD_PROFILE, if set)
Region: NCLOUD_REGION: KR, SGN or JPN (with NCLOUD_SITE=gov: KR or KRS; fin: FKR), or an API URL in
        NCR_API_URL

Exit status: 0 on success, 1 if an image failed, 2 for wrong usage or settings.
";

fn main() -> ExitCode {
    let arguments = env::args_os().skip(1);
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let (options, names): (Vec<_>, Vec<_>) = arguments.partition(|name| name.starts_with('-'));
    let is_given = |option| options.iter().any(|given| given == option);
    if is_given("--help") || is_given("-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let known = ["--dry-run", "--if-exists"];
    let is_unknown = |option: &&String| !known.contains(&option.as_str());
    if let Some(option) = options.iter().find(is_unknown) {
        eprint!("unknown option \"{}\"\n{USAGE}", option.escape_debug());
        return ExitCode::from(2);
    }
    let Some((registry, images @ [_, ..])) = names.split_first() else {
        eprint!("expected a registry and at least one image\n{USAGE}");
        return ExitCode::from(2);
    };
    if names.iter().any(String::is_empty) {
        eprint!("a name is empty; is a variable unset?\n{USAGE}");
        return ExitCode::from(2);
    }
    let client = match Client::from_env() {
        Ok(client) => client,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let mut status = ExitCode::SUCCESS;
    for image in images {
        let done = if is_given("--dry-run") {
            preview(&client, registry, image)
        } else if is_given("--if-exists") {
            delete_if_exists(&client, registry, image)
        } else {
            let deleted = client.delete_image(registry, image);
            deleted.map(|()| format!("deleted {registry}/{image}"))
        };
        match done {
            // If the output is closed, the images must still be deleted.
            Ok(line) => _ = writeln!(io::stdout(), "{line}"),
            Err(error) => {
                eprintln!("{error}");
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}

fn preview(client: &Client, registry: &str, image: &str) -> Result<String, Error> {
    let request = client.sign_delete_image(registry, image)?;
    let (method, url) = (request.method(), request.uri());
    Ok(format!("would delete {registry}/{image}: {method} {url}"))
}

fn delete_if_exists(client: &Client, registry: &str, image: &str) -> Result<String, Error> {
    let existed = client.delete_image_if_exists(registry, image)?;
    let what = if existed { "deleted" } else { "absent" };
    Ok(format!("{what} {registry}/{image}"))
}
