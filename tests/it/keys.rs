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
    let unusable = |name| {
        format!(
            "the {name} must be plain text of 1 to 4096 bytes, with no blanks around it: copy it again"
        )
    };
    let long = &*"k".repeat(4097);
    for wrong in [
        "",
        " ",
        " k",
        "k ",
        "k\n",
        "\tk",
        "a\r\nx: y",
        "a\0b",
        "k\u{fffd}",
        long,
    ] {
        assert_eq!(
            describe(Credentials::new(wrong, SECRET_KEY)),
            unusable("access key")
        );
        assert_eq!(
            describe(Credentials::new(ACCESS_KEY, wrong)),
            unusable("secret key")
        );
    }
    assert_eq!(
        describe(Credentials::new("키", SECRET_KEY)),
        unusable("access key")
    );
    Credentials::new(&"k".repeat(4096), &"k".repeat(4096)).unwrap();
    // Anything else is the service's to judge.
    for access_key in ["a", "a b", "\"a=b:c,d\"", "~!#$%^&*()"] {
        let gateway = Gateway::with(&[]);
        let client = Client::builder(
            Region::Korea,
            Credentials::new(access_key, "비밀 = # [x]").unwrap(),
        );
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
        format!("[first]\n{other}\n[DEFAULT]\n{access}\n{secret}\n[last]\n{other}"),
        format!("[first]\n{other}\n[default]\n{access}\n{secret}\n"),
        format!("{access}\n[first]\n{other}\n[DEFAULT]\n{secret}\n"),
        format!("no setting\n=\n= x\n{access}\n{secret}"),
        format!("[first]\n{other}\n [ Default ] # mine\n{access}\n{secret}\n"),
    ] {
        assert_eq!(from_text(&content), OURS, "{content}");
    }
    let secret_with_equals = TempFile::new(format!("{access}\nncloud_secret_access_key = a=b==\n"));
    let from_file = Credentials::from_file(&secret_with_equals.0).unwrap();
    let expected = Credentials::new(ACCESS_KEY, "a=b==").unwrap();
    assert_eq!(from_file.sign("M", "/", 0), expected.sign("M", "/", 0));
}

#[test]
fn keys_that_nobody_pointed_at_are_not_used() {
    let (access, secret) = ("ncloud_access_key_id", "ncloud_secret_access_key");
    let pair = |of: &str| format!("{access} = {of}\n{secret} = {of}\n");
    let prod = format!("[prod]\n{}", pair("P"));
    let missing =
        |name| format!("the key file PATH: {name} is missing or empty: add it to [DEFAULT]");
    let under = |section, name| {
        format!(
            "the key file PATH: {name} of section \"{section}\" is not used: move it to [DEFAULT]"
        )
    };
    let twice = |name| {
        format!("the key file PATH: {name} is given twice in the default section: keep one of them")
    };
    for (content, expected) in [
        (String::new(), missing(access)),
        (format!("{secret} = s"), missing(access)),
        (format!("{access} =\n{secret} = s"), missing(access)),
        (format!("{access} = a"), missing(secret)),
        (format!("{access} = a\n{secret} = \n"), missing(secret)),
        // A default section without keys does not hand over to another account.
        (prod.clone(), under("prod", access)),
        (
            format!("[DEFAULT]\n#{access} = a\n#{secret} = s\n{prod}"),
            under("prod", access),
        ),
        (
            format!("[DEFAULT]\n{access}_ = a\n{secret}_ = s\n{prod}"),
            under("prod", access),
        ),
        (format!("[DEFAULT]\n{prod}"), under("prod", access)),
        (
            format!("[DEFAULT]\n{access} =\n{secret} =\n{prod}"),
            under("prod", access),
        ),
        (
            format!("{prod}[test]\n{}", pair("T")),
            under("prod", access),
        ),
        (format!("[\u{1b}]\n{}", pair("T")), under("\\u{1b}", access)),
        // No header either, so not shown.
        (format!("[DEFAULT\n{}", pair("T")), under("", access)),
        // What an editor may show as the beginning of a line, or not show at all.
        (format!("[DEFAULT]\n\u{feff}{prod}"), under("prod", access)),
        (
            format!("[DEFAULT]\n\u{a0}\u{200b}\0{prod}"),
            under("prod", access),
        ),
        (format!("[DEFAULT]\r{prod}"), under("prod", access)),
        (format!("# old\r{prod}"), under("prod", access)),
        (format!("# old\u{2028}{prod}"), under("prod", access)),
        (format!("# old\u{b}{prod}"), under("prod", access)),
        (format!("# old\u{85}{prod}"), under("prod", access)),
        // No pair is put together from two sections.
        (
            format!("{prod}[DEFAULT]\n{access} = a\n"),
            under("prod", secret),
        ),
        (
            format!("[a]\n{access} = a\n[DEFAULT]\n{secret} = s"),
            under("a", access),
        ),
        // A header that was commented out leaves two pairs in one section.
        (format!("{}# {prod}", pair("D")), twice(access)),
        (
            format!("{}[DEFAULT]\n{}", pair("A"), pair("A")),
            twice(access),
        ),
        (format!("{}{secret} = \n", pair("D")), twice(secret)),
    ] {
        assert_eq!(from_text(&content), expected, "{content}");
    }
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    assert_eq!(
        from_text("ncloud_access_key_id = a\0\nncloud_secret_access_key = s"),
        "the key file PATH: the access key must be plain text of 1 to 4096 bytes, with no blanks around it: copy it again"
    );
    assert_eq!(
        from_text(b"ncloud_access_key_id = \xff\n"),
        "the key file PATH: not UTF-8 text of at most 64 KiB"
    );
    let pair = "ncloud_access_key_id = AKTEST0123456789abcd\nncloud_secret_access_key = s\n";
    let fill = |length: usize| pair.to_owned() + &"#".repeat(length - pair.len());
    assert!(from_text(fill(64 * 1024)).starts_with(ACCESS_KEY));
    assert_eq!(
        from_text(fill(64 * 1024 + 1)),
        "the key file PATH: not UTF-8 text of at most 64 KiB"
    );

    let missing = std::env::temp_dir()
        .join("ncr-no-such-folder")
        .join("configure\n");
    let error = Credentials::from_file(&missing).unwrap_err();
    let shown = missing.display().to_string().replace('\n', "\\n");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("the key file {shown}: ")),
        "{text}"
    );
    assert!(error.source().unwrap().is::<std::io::Error>());
    let folder = Credentials::from_file(std::env::temp_dir()).unwrap_err();
    assert_eq!(folder.kind(), ErrorKind::Credentials);
    assert!(
        folder.to_string().contains("not a regular file"),
        "{folder}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_states_no_length_is_read_up_to_the_limit() {
    // All of it would be hundreds of GiB.
    let error = Credentials::from_file("/proc/self/pagemap").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
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
        assert!(error.to_string().contains("not a regular file"), "{error}");
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

    let no_access = "the access key is not set, or empty: \
                     set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY";
    let no_secret = "the secret key is not set, or empty: \
                     set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY";
    for (environment, expected) in [
        (&[][..], no_access),
        (
            &[("NCLOUD_ACCESS_KEY_ID", ""), ("NCLOUD_SECRET_KEY", "")],
            no_access,
        ),
        (&[("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY)], no_access),
        (&[("NCLOUD_ACCESS_KEY", "a")], no_secret),
        (
            &[("NCLOUD_ACCESS_KEY", "a"), ("NCLOUD_SECRET_KEY", "")],
            no_secret,
        ),
        (
            &[
                ("NCLOUD_ACCESS_KEY", "a\n"),
                ("NCLOUD_SECRET_KEY", SECRET_KEY),
            ],
            "the access key must be plain text of 1 to 4096 bytes, with no blanks around it: copy it again",
        ),
    ] {
        assert_eq!(from_env(environment), expected);
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_is_not_unicode_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;

    if_child(|| describe(Credentials::load()));
    let name = "keys::a_key_that_is_not_unicode_is_refused";
    for (which, access_key, secret_key) in [
        ("access", &b"\xff"[..], &b"s"[..]),
        ("secret", b"a", b"\xff"),
    ] {
        let environment = [
            ("NCLOUD_ACCESS_KEY", OsString::from_vec(access_key.to_vec())),
            ("NCLOUD_SECRET_KEY", OsString::from_vec(secret_key.to_vec())),
        ];
        assert_eq!(
            child(name, &environment),
            format!(
                "the {which} key must be plain text of 1 to 4096 bytes, with no blanks around it: copy it again"
            )
        );
    }
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
        "no keys in the environment: set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY, or correct \
         the key file {}: ",
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
    // A variable that is set, even to nothing, points at the environment.
    let half = [
        ("NCLOUD_ACCESS_KEY_ID", "ACCESS_KEY"),
        ("NCLOUD_ACCESS_KEY", "ACCESS_KEY"),
        ("NCLOUD_SECRET_ACCESS_KEY", "SECRET"),
        ("NCLOUD_SECRET_KEY", "SECRET"),
    ];
    for (name, _) in half {
        for value in ["", "x"] {
            let outcome = load(&[(name, value)]);
            assert!(
                outcome.contains(" key is not set, or empty: set "),
                "{name}={value}: {outcome}"
            );
        }
    }
    let emptied = [
        ("NCLOUD_ACCESS_KEY_ID", ""),
        ("NCLOUD_SECRET_ACCESS_KEY", ""),
    ];
    assert!(load(&emptied).starts_with("the access key is not set, or empty: set "));
    std::fs::remove_dir_all(&home).unwrap();

    let homeless = child(
        "keys::the_environment_comes_before_the_file",
        &[(variable, "")],
    );
    assert!(
        homeless.starts_with("the access key is not set, or empty: set NCLOUD_ACCESS_KEY_ID"),
        "{homeless}"
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
            "SignedRequest {{ url: \"{}/repositories/r/i\", .. }}",
            gateway.url()
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
    let builder = builder.api_url("https://user:password@example.com");
    assert_eq!(format!("{builder:?}"), "ClientBuilder { .. }");
}

#[test]
fn an_answer_that_repeats_the_request_shows_no_key_and_no_signature() {
    let gateway = Gateway::with(&[]);
    gateway.script(|exchange| {
        let signature = exchange.request.header("x-ncp-apigw-signature-v2")[0];
        let bare = signature.trim_end_matches('=');
        assert_ne!(bare, signature);
        let message = format!("no {signature} or {bare} for {ACCESS_KEY}");
        let body = format!(r#"{{"returnCode":"{bare}","returnMessage":"{message}"}}"#);
        let headers = format!("x-ncp-trace-id: {bare}{ACCESS_KEY}\r\n");
        exchange.send(crate::gateway::answer("403 Forbidden", &headers, &body));
        crate::gateway::Then::KeepAlive
    });
    let error = crate::client(&gateway).delete_image("r", "i").unwrap_err();
    let request = &gateway.requests()[0];
    let shown = format!("{error} {error:?}");
    let signature = request.header("x-ncp-apigw-signature-v2")[0];
    assert!(!shown.contains(signature.trim_end_matches('=')));
    assert!(!shown.contains(ACCESS_KEY));
    assert_eq!(
        error.message(),
        Some("no [signature] or [signature] for [access key]")
    );
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
