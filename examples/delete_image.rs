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
Deletes images, each with all of its tags. This cannot be undone. Nothing is deleted if one of the
names cannot exist.

usage: delete_image [--dry-run] [--if-exists] REGISTRY IMAGE...

  --dry-run    show what would be sent and to which URL, and send nothing
  --if-exists  a missing image, or a misspelt registry, is not a failure

Keys:   NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY, or the file ~/.ncloud/configure (section
        NCLOUD_PROFILE, if set)
Region: NCLOUD_REGION: KR, SGN or JPN (with NCLOUD_SITE=gov: KR or KRS; fin: FKR), or an API URL in
        NCR_API_URL

Exit status: 0 on success, 1 if an image could not be deleted, 2 for wrong usage, settings or names.
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
    // Every name is checked before anything is deleted.
    let signed = Client::from_env().and_then(|client| {
        let requests = images
            .iter()
            .map(|image| client.sign_delete_image(registry, image));
        let requests: Vec<_> = requests.collect::<Result<_, Error>>()?;
        Ok((client, requests))
    });
    let (client, requests) = match signed {
        Ok(signed) => signed,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let mut status = ExitCode::SUCCESS;
    for (image, request) in images.iter().zip(requests) {
        let done = if is_given("--dry-run") {
            let (method, url) = (request.method(), request.uri());
            Ok(format!("would delete {registry}/{image}: {method} {url}"))
        } else if is_given("--if-exists") {
            let existed = client.delete_image_if_exists(registry, image);
            let what = |existed| if existed { "deleted" } else { "absent" };
            existed.map(|existed| format!("{} {registry}/{image}", what(existed)))
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
