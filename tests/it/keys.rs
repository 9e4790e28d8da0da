//! Keys: where they come from, what is refused, and that they never show.

use std::error::Error as _;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ncloud_container_registry::{Client, Credentials, ErrorKind, Region};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY};
use crate::{builder, child, credentials, if_child};

#[test]
fn signatures_are_those_of_the_vectors() {
    let long =
        "a secret key that is longer than the 64 bytes of one SHA-256 block, so HMAC hashes it";
    for (method, target, timestamp_ms, access_key, secret_key, signature) in [
        (
            "DELETE",
            "/ncr/api/v2/repositories/my-registry/hello%2Fworld",
            1_700_000_000_000,
            ACCESS_KEY,
            SECRET_KEY,
            "LATiwP0b8zjFjl4BEBuGJV1sfIsX4tkwIT+y5z4vvnw=",
        ),
        (
            "DELETE",
            "/ncr/jpn-api/v2/repositories/team/app",
            0,
            "A",
            "s",
            "1KVlsSjcZrfMiLO8k3Q6Kfddln/DpMAJ2ZE+9I2PWbk=",
        ),
        (
            "GET",
            "/ncr/api/v2/repositories/my-registry/hello%2Fworld/tags?page=1&pagesize=20",
            1_764_000_000_123,
            ACCESS_KEY,
            long,
            "BI8mOeDm0fEwIHQFk1uc6WrlqWY8J4/ssA3N9IgVYcI=",
        ),
        (
            "DELETE",
            "/ncr/kr/v2/repositories/r/%ED%95%9C%EA%B5%AD",
            4_102_444_800_000,
            ACCESS_KEY,
            SECRET_KEY,
            "xnx6pLQEfjXhN7Vjl8YC/QIu43zjL6aO0fShDizZ3CM=",
        ),
    ] {
        let credentials = Credentials::new(access_key, secret_key).unwrap();
        assert_eq!(credentials.access_key(), access_key);
        for _ in 0..2 {
            assert_eq!(credentials.sign(method, target, timestamp_ms), signature);
            assert_eq!(
                credentials.clone().sign(method, target, timestamp_ms),
                signature
            );
        }
    }
}

/// Whether these are the keys of the tests: the signature tells.
fn describe(credentials: Result<Credentials, ncloud_container_registry::Error>) -> String {
    match credentials {
        Ok(credentials) => {
            let is_ours = credentials.sign("M", "/", 1) == crate::credentials().sign("M", "/", 1);
            format!("{} {is_ours}", credentials.access_key())
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Credentials);
            assert_eq!(
                (error.attempts(), error.may_have_taken_effect()),
                (0, false)
            );
            assert!(!format!("{error} {error:?}").contains(SECRET_KEY));
            error.to_string()
        }
    }
}

const OURS: &str = "AKTEST0123456789abcd true";

#[test]
fn keys_that_cannot_be_right_are_refused() {
    let padded = [" {}", "{} ", "{}\n", "\t{}"];
    let blanks = "has a blank or a line break before or after it: copy it once more";
    for template in padded {
        let access_key = template.replace("{}", ACCESS_KEY);
        let secret_key = template.replace("{}", SECRET_KEY);
        assert_eq!(
            describe(Credentials::new(&access_key, SECRET_KEY)),
            format!("the access key {blanks}")
        );
        assert_eq!(
            describe(Credentials::new(ACCESS_KEY, &secret_key)),
            format!("the secret key {blanks}")
        );
    }
    let long = &*"k".repeat(4097);
    let too_long = |name| format!("the {name} is longer than 4 KiB: copy it once more");
    assert_eq!(
        describe(Credentials::new(long, SECRET_KEY)),
        too_long("access key")
    );
    assert_eq!(
        describe(Credentials::new(ACCESS_KEY, long)),
        too_long("secret key")
    );
    for (access_key, secret_key, expected) in [
        ("", SECRET_KEY, "the access key is empty: copy it once more"),
        (ACCESS_KEY, "", "the secret key is empty: copy it once more"),
        (
            "a\r\nx: y",
            SECRET_KEY,
            "the access key holds a control character: copy it once more",
        ),
        (
            ACCESS_KEY,
            "a\0b",
            "the secret key holds a control character: copy it once more",
        ),
        (
            "키",
            SECRET_KEY,
            "the access key holds a character that is not ASCII: copy it once more",
        ),
    ] {
        assert_eq!(describe(Credentials::new(access_key, secret_key)), expected);
    }
    // Anything else is the service's to judge.
    for access_key in ["a", "a b", "\"a=b:c,d\"", "~!#$%^&*()"] {
        let gateway = Gateway::with(&[]);
        let client = Client::builder(Credentials::new(access_key, "비밀 = # [x]").unwrap());
        let client = client.api_url(&gateway.url()).build().unwrap();
        assert_eq!(
            client.delete_image("r", "i").unwrap_err().kind(),
            ErrorKind::Unauthorized
        );
        assert_eq!(
            gateway.requests()[0].header("x-ncp-iam-access-key"),
            [access_key]
        );
    }
}

/// A file in the folder for temporary files, removed in the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(content: impl AsRef<[u8]>) -> TempFile {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("ncr-keys-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn from_text(content: impl AsRef<[u8]>) -> String {
    let file = TempFile::new(content);
    let described = describe(Credentials::from_file(&file.0));
    described.replace(&*file.0.to_string_lossy(), "PATH")
}

#[test]
fn a_file_is_read_as_the_vendors_tools_write_it() {
    let access = format!("ncloud_access_key_id = {ACCESS_KEY}");
    let secret = format!("ncloud_secret_access_key = {SECRET_KEY}");
    let other = "ncloud_access_key_id = OTHER\nncloud_secret_access_key = other";
    for content in [
        format!("{access}\n{secret}\n"),
        format!("{secret}\n{access}"),
        format!("{access}\r\n{secret}\r\n"),
        format!("\u{feff}{access}\n{secret}\n"),
        format!(
            "  ncloud_access_key_id=\t{ACCESS_KEY} \n\tncloud_secret_access_key  ={SECRET_KEY}\t\n"
        ),
        format!(
            "# keys = here\n[DEFAULT]\n{access}\n\n#ncloud_access_key_id = OLD\nncloud_api_url = x\n{secret}\n"
        ),
        format!("[PROFILE]\n{access}\n{secret}\n[second]\n{other}\n"),
        format!("[first]\n{other}\n[DEFAULT]\n{access}\n{secret}\n[last]\n{other}"),
        format!("[first]\n{other}\n[default]\n{access}\n{secret}\n"),
        format!("{access}\n{secret}\n[DEFAULT]\n{other}\n"),
        format!("[empty]\nncloud_api_url = x\n[second]\n{access}\n{secret}\n[third]\n{other}\n"),
        format!("no setting\n=\n= x\n{access}\n{secret}"),
        format!("[first]\n{other}\n[ Default ] # mine\n{access}\n{secret}\n"),
    ] {
        assert_eq!(from_text(&content), OURS, "{content}");
    }
    let secret_with_equals = TempFile::new(format!("{access}\nncloud_secret_access_key = a=b==\n"));
    let from_file = Credentials::from_file(&secret_with_equals.0).unwrap();
    let expected = Credentials::new(ACCESS_KEY, "a=b==").unwrap();
    assert_eq!(from_file.sign("M", "/", 0), expected.sign("M", "/", 0));
}

#[test]
fn a_file_without_keys_says_what_to_put_there() {
    let fix = "write the lines \"ncloud_access_key_id = ...\" and \"ncloud_secret_access_key = ...\" into it";
    let no_access = format!(
        "cannot take keys from the file PATH: it has no value for ncloud_access_key_id: {fix}"
    );
    let no_secret = format!(
        "cannot take keys from the file PATH: it has no value for ncloud_secret_access_key: {fix}"
    );
    assert_eq!(from_text(""), no_access);
    assert_eq!(from_text("ncloud_secret_access_key = s"), no_access);
    assert_eq!(
        from_text("ncloud_access_key_id =\nncloud_secret_access_key = s"),
        no_access
    );
    assert_eq!(from_text("ncloud_access_key_id = a"), no_secret);
    assert_eq!(
        from_text("ncloud_access_key_id = a\nncloud_secret_access_key = \n"),
        no_secret
    );
    // No pair is put together from two sections.
    let other = "[a]\nncloud_access_key_id = o\nncloud_secret_access_key = o\n";
    assert_eq!(
        from_text(format!("{other}[DEFAULT]\nncloud_access_key_id = a\n")),
        no_secret
    );
    // A default section that was left empty does not hand over to another account.
    let emptied = "[DEFAULT]\nncloud_access_key_id =\nncloud_secret_access_key =\n";
    assert_eq!(from_text(format!("{emptied}{other}")), no_access);
    assert_eq!(
        from_text("[a]\nncloud_access_key_id = a\n[b]\nncloud_secret_access_key = s"),
        no_secret
    );
    assert_eq!(
        from_text("ncloud_access_key_id = a\0\nncloud_secret_access_key = s"),
        "cannot take keys from the file PATH: the access key holds a control character: copy it once more"
    );
    assert_eq!(
        from_text(b"ncloud_access_key_id = \xff\n"),
        "cannot take keys from the file PATH: it is not UTF-8 text: save it as UTF-8"
    );
    assert_eq!(
        from_text("#".repeat(64 * 1024 + 1)),
        "cannot take keys from the file PATH: it is longer than 64 KiB: give the path of another file"
    );
    assert_eq!(from_text("#".repeat(64 * 1024)), no_access);

    let missing = std::env::temp_dir()
        .join("ncr-no-such-folder")
        .join("configure\n");
    let error = Credentials::from_file(&missing).unwrap_err();
    let shown = missing.display().to_string().replace('\n', "\\u{a}");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot take keys from the file {shown}: ")),
        "{text}"
    );
    assert!(text.ends_with(&format!(": {fix}")), "{text}");
    assert!(error.source().unwrap().is::<std::io::Error>());
    let folder = Credentials::from_file(std::env::temp_dir()).unwrap_err();
    assert_eq!(folder.kind(), ErrorKind::Credentials);
    assert!(
        folder.to_string().contains("it is not a regular file"),
        "{folder}"
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_is_no_file_of_keys() {
    let folder = std::env::temp_dir().join(format!("ncr-pipe-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let pipe = folder.join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    for path in [&*pipe, "/dev/zero".as_ref()] {
        let error = Credentials::from_file(path).unwrap_err();
        assert!(
            error.to_string().contains("it is not a regular file"),
            "{error}"
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_environment_is_read_by_every_name() {
    if_child(|| describe(Credentials::from_env()));
    let from_env = |environment: &[(&str, &str)]| {
        child("keys::the_environment_is_read_by_every_name", environment)
    };
    for access in ["NCLOUD_ACCESS_KEY_ID", "NCLOUD_ACCESS_KEY"] {
        for secret in ["NCLOUD_SECRET_ACCESS_KEY", "NCLOUD_SECRET_KEY"] {
            assert_eq!(
                from_env(&[(access, ACCESS_KEY), (secret, SECRET_KEY)]),
                OURS
            );
        }
    }
    let all = [
        ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY),
        ("NCLOUD_ACCESS_KEY", "other"),
        ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY),
        ("NCLOUD_SECRET_KEY", "other"),
    ];
    assert_eq!(from_env(&all), OURS);
    let emptied = [
        ("NCLOUD_ACCESS_KEY_ID", ""),
        ("NCLOUD_ACCESS_KEY", ACCESS_KEY),
        ("NCLOUD_SECRET_ACCESS_KEY", ""),
        ("NCLOUD_SECRET_KEY", SECRET_KEY),
    ];
    assert_eq!(from_env(&emptied), OURS);

    let none = "no keys in the environment: set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY";
    assert_eq!(from_env(&[]), none);
    assert_eq!(
        from_env(&[("NCLOUD_ACCESS_KEY_ID", ""), ("NCLOUD_SECRET_KEY", "")]),
        none
    );
    let no_secret = "the environment has the access key but not the other: \
                     set NCLOUD_SECRET_ACCESS_KEY (or NCLOUD_SECRET_KEY) too";
    assert_eq!(from_env(&[("NCLOUD_ACCESS_KEY", "a")]), no_secret);
    assert_eq!(
        from_env(&[("NCLOUD_ACCESS_KEY", "a"), ("NCLOUD_SECRET_KEY", "")]),
        no_secret
    );
    let no_access = "the environment has the secret key but not the other: \
                     set NCLOUD_ACCESS_KEY_ID (or NCLOUD_ACCESS_KEY) too";
    assert_eq!(
        from_env(&[("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY)]),
        no_access
    );
    assert_eq!(
        from_env(&[
            ("NCLOUD_ACCESS_KEY", "a\n"),
            ("NCLOUD_SECRET_KEY", SECRET_KEY)
        ]),
        "the access key has a blank or a line break before or after it: copy it once more"
    );
}

#[cfg(unix)]
#[test]
fn a_key_that_is_not_unicode_is_named() {
    use std::os::unix::ffi::OsStringExt as _;

    if_child(|| describe(Credentials::load()));
    let name = "keys::a_key_that_is_not_unicode_is_named";
    let value = OsString::from_vec(b"\xff".to_vec());
    assert_eq!(
        child(name, &[("NCLOUD_ACCESS_KEY", value)]),
        "the environment variable NCLOUD_ACCESS_KEY is not Unicode text"
    );
}

#[test]
fn the_environment_comes_before_the_file() {
    if_child(|| describe(Credentials::load()));
    let home = std::env::temp_dir().join(format!("ncr-home-{}", std::process::id()));
    let folder = home.join(".ncloud");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("configure");
    let variable = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    let load = |environment: &[(&str, &str)]| {
        let mut environment: Vec<(&str, OsString)> = environment
            .iter()
            .map(|(name, value)| (*name, (*value).into()))
            .collect();
        environment.push((variable, home.clone().into()));
        child("keys::the_environment_comes_before_the_file", &environment)
    };
    let ours = [
        ("NCLOUD_ACCESS_KEY", ACCESS_KEY),
        ("NCLOUD_SECRET_KEY", SECRET_KEY),
    ];

    let text = load(&[]);
    let start = format!(
        "no keys in the environment: cannot take keys from the file {}: ",
        file.display()
    );
    assert!(text.starts_with(&start), "{text}");

    std::fs::write(
        &file,
        "ncloud_access_key_id = F\nncloud_secret_access_key = f\n",
    )
    .unwrap();
    assert_eq!(load(&[]), "F false");
    assert_eq!(load(&ours), OURS);
    // Half a pair in the environment is a mistake there, not a reason to look elsewhere.
    assert!(load(&ours[..1]).starts_with("the environment has the access key but not the other"));
    std::fs::remove_dir_all(&home).unwrap();

    let homeless = child(
        "keys::the_environment_comes_before_the_file",
        &[(variable, "")],
    );
    assert_eq!(
        homeless,
        "no keys in the environment: set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY"
    );
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let gateway = Gateway::with(&[]);
    let builder = builder(&gateway);
    let client = builder.clone().build().unwrap();
    let signed = client.sign_delete_image("r", "i").unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    let signature = signed.headers().last().unwrap().1;
    let shown = format!(
        "{:?} {:#?} {builder:?} {builder:#?} {client:?} {client:#?} {signed:?} {signed:#?} \
         {error:?} {error:#?} {error} {:?} {:?}",
        credentials(),
        credentials(),
        error.kind(),
        Region::Korea,
    );
    assert!(!shown.contains(SECRET_KEY));
    assert!(!shown.contains(signature));
    assert_eq!(
        format!("{:?}", credentials()),
        "Credentials { access_key: \"AKTEST0123456789abcd\", .. }"
    );
    assert_eq!(
        format!("{signed:?}"),
        format!(
            "SignedRequest {{ method: \"DELETE\", url: \"{}/repositories/r/i\", timestamp: \"{}\", \
             credentials: Credentials {{ access_key: \"{ACCESS_KEY}\", .. }}, .. }}",
            gateway.url(),
            signed.headers().nth(1).unwrap().1,
        )
    );
    assert_eq!(
        format!("{client:?}"),
        format!(
            "Client {{ api_url: \"{}\", credentials: Credentials {{ access_key: \"{ACCESS_KEY}\", \
             .. }}, timeout: 60s, max_attempts: 3, .. }}",
            gateway.url(),
        )
    );
    assert_eq!(
        format!("{builder:?}"),
        format!(
            "ClientBuilder {{ credentials: Credentials {{ access_key: \"{ACCESS_KEY}\", .. }}, \
             region: Korea, timeout: 60s, max_attempts: 3, .. }}"
        )
    );
}

#[test]
fn an_answer_that_repeats_the_request_shows_no_key_and_no_signature() {
    let gateway = Gateway::with(&[]);
    gateway.script(|exchange| {
        let signature = exchange.request.header("x-ncp-apigw-signature-v2")[0];
        let message = format!("no {signature} for {ACCESS_KEY}");
        let body = format!(r#"{{"returnCode":"{signature}","returnMessage":"{message}"}}"#);
        let headers = format!("x-ncp-trace-id: {signature}{ACCESS_KEY}\r\n");
        exchange.send(crate::gateway::answer("403 Forbidden", &headers, &body));
        crate::gateway::Then::KeepAlive
    });
    let error = crate::client(&gateway).delete_image("r", "i").unwrap_err();
    let request = &gateway.requests()[0];
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(request.header("x-ncp-apigw-signature-v2")[0]));
    assert!(!shown.contains(ACCESS_KEY));
    assert_eq!(error.message(), Some("no [signature] for [access key]"));
    assert_eq!(error.code(), Some("[signature]"));
    assert_eq!(error.trace_id(), Some("[signature][access key]"));
}

#[test]
fn types_can_cross_threads_and_be_boxed() {
    fn is_shareable<T: Clone + Send + Sync + 'static>() {}
    fn is_error<T: std::error::Error + Send + Sync + 'static>() {}
    is_shareable::<Client>();
    is_shareable::<Credentials>();
    is_shareable::<ncloud_container_registry::ClientBuilder>();
    is_shareable::<ncloud_container_registry::SignedRequest>();
    is_shareable::<Region>();
    is_shareable::<ErrorKind>();
    is_error::<ncloud_container_registry::Error>();
}
