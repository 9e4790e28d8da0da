//! Deletes images from a NAVER Cloud Platform Container Registry.
//!
//! Needs no crate but `ncloud-container-registry`: copy this file to use it.

use std::io::{self, Write};
use std::{env, process::ExitCode};

use ncloud_container_registry::{Client, Error, ErrorKind};

const HELP: &str = "\
usage: delete_image [--dry-run] [--if-exists] REGISTRY IMAGE...
Deletes images, each with all of its tags. This cannot be undone. All names are checked first. It
ends at the first 401 or 429, since further names would fail, too.
  --dry-run    show which URL each deletion would be sent to, and send nothing
  --if-exists  a missing image, or a misspelt registry, is not a failure
Keys:   NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY, or ~/.ncloud/configure (NCLOUD_PROFILE)
Region: NCLOUD_REGION: KR, SGN or JPN (NCLOUD_SITE=gov: KR or KRS; fin: FKR), or NCR_API_URL
Exit status: 0 on success, 1 if an image could not be deleted, 2 for wrong usage, settings or names.
";

fn main() -> ExitCode {
    let arguments = env::args_os().skip(1);
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let (options, names): (Vec<_>, Vec<_>) = arguments.partition(|name| name.starts_with('-'));
    let is_given = |option| options.iter().any(|given| given == option);
    if is_given("--help") || is_given("-h") {
        _ = write!(io::stdout(), "{HELP}");
        return ExitCode::SUCCESS;
    }
    let is_known = |option: &String| option == "--dry-run" || option == "--if-exists";
    let (Some((registry, images @ [_, ..])), true) =
        (names.split_first(), options.iter().all(is_known))
    else {
        _ = write!(io::stderr(), "{HELP}");
        return ExitCode::from(2);
    };
    let checked = Client::from_env().and_then(|client| {
        let urls = images.iter().map(|image| client.image_url(registry, image));
        let urls = urls.collect::<Result<Vec<_>, Error>>()?;
        Ok((client, urls))
    });
    let (client, urls) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            _ = writeln!(io::stderr(), "{error}");
            return ExitCode::from(2);
        }
    };
    let mut status = ExitCode::SUCCESS;
    for (tried, (image, url)) in (1..).zip(images.iter().zip(urls)) {
        let done = if is_given("--dry-run") {
            Ok(format!("would delete {registry}/{image}: DELETE {url}"))
        } else if is_given("--if-exists") {
            let existed = client.delete_image_if_exists(registry, image);
            existed.map(|existed| {
                let done = if existed { "deleted" } else { "absent" };
                format!("{done} {registry}/{image}")
            })
        } else {
            let deleted = client.delete_image(registry, image);
            deleted.map(|()| format!("deleted {registry}/{image}"))
        };
        match done {
            // If the output is closed, the images must still be deleted.
            Ok(line) => _ = writeln!(io::stdout(), "{line}"),
            Err(error) => {
                _ = writeln!(io::stderr(), "{error}");
                status = ExitCode::FAILURE;
                if matches!(
                    error.kind(),
                    ErrorKind::Unauthorized | ErrorKind::RateLimited
                ) {
                    let untried = images.len() - tried;
                    if untried > 0 {
                        let all = images.len();
                        _ = writeln!(io::stderr(), "{untried} of {all} images were not tried");
                    }
                    break;
                }
            }
        }
    }
    status
}
