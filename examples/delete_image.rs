//! Deletes an image, or one of its tags, from a NAVER Cloud Platform Container Registry.
//!
//! Needs the crates `ncloud-container-registry` and `lexopt` 0.3: copy this file to use it.

use std::io::{self, Write};
use std::{error::Error, process::ExitCode};

use lexopt::prelude::*;
use ncloud_container_registry::{Client, ErrorKind};

const HELP: &str = "\
usage: delete_image [--dry-run] [--if-exists] REGISTRY IMAGE[:TAG]
Deletes an image with all of its tags, or one tag. This cannot be undone.
  --dry-run    show what would be deleted, and send nothing
  --if-exists  a missing image or tag, or a misspelt registry, is not a failure
Keys:   NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY, or ~/.ncloud/configure (NCLOUD_PROFILE)
Region: NCLOUD_REGION: KR, SGN or JPN (NCLOUD_SITE=gov: KR or KRS; fin: FKR), or NCR_API_URL
Exit status: 0 on success, 1 if it was not deleted, 2 for wrong usage, settings or names.
";

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        _ = writeln!(io::stderr(), "{error}");
        ExitCode::from(2)
    })
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let (mut names, mut is_dry_run, mut is_absence_fine) = (vec![], false, false);
    let mut args = lexopt::Parser::from_env();
    while let Some(argument) = args.next()? {
        match argument {
            Short('h') | Long("help") => {
                _ = io::stdout().write_all(HELP.as_bytes());
                return Ok(ExitCode::SUCCESS);
            }
            Long("dry-run") => is_dry_run = true,
            Long("if-exists") => is_absence_fine = true,
            Value(name) => names.push(name.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let [registry, name] = &*names else {
        return Err(
            "expected REGISTRY IMAGE or REGISTRY IMAGE:TAG; see delete_image --help".into(),
        );
    };
    // As docker has it: a colon before a slash begins no tag.
    let (image, tag) = match name.rsplit_once(':') {
        Some((image, tag)) if !tag.contains('/') => (image, Some(tag)),
        _ => (&**name, None),
    };
    if tag == Some("") {
        return Err("the tag is empty; is a variable unset?".into());
    }
    let client = Client::from_env()?;
    let url = client.image_url(registry, image)?; // refuses a wrong name, also in a dry run
    let name = format!("{registry}/{name}").escape_debug().to_string(); // in a dry run it may be odd
    if is_dry_run {
        // The URL of an image is not that of its tag.
        let url = tag.map_or(format!(": DELETE {url}"), |_| String::new());
        _ = writeln!(io::stdout(), "would delete {name}{url}");
        return Ok(ExitCode::SUCCESS);
    }
    let deleted = match tag {
        Some(tag) => client.delete_tag(registry, image, tag),
        None => client.delete_image(registry, image),
    };
    let is_absent = |error: &ncloud_container_registry::Error| {
        error.kind() == ErrorKind::NotFound && !error.may_have_been_deleted()
    };
    match deleted {
        Ok(()) => _ = writeln!(io::stdout(), "deleted {name}"),
        Err(error) if is_absence_fine && is_absent(&error) => {
            _ = writeln!(io::stdout(), "absent {name}");
        }
        Err(error) if error.attempts() == 0 => return Err(error.into()), // a wrong tag
        Err(error) => {
            _ = writeln!(io::stderr(), "{error}");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
