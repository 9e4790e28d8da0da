//! Where credentials come from, and which are refused.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ncloud_container_registry::{Client, Credentials, Error, ErrorKind};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY};
use crate::{child, credentials, if_child};

#[test]
fn sign_follows_the_vectors() {
    let long =
        "a-secret-key-that-is-longer-than-the-64-bytes-of-one-SHA-256-block,so-HMAC-hashes-it";
    #[rustfmt::skip] // one row a line
    let rows = [
        ("DELETE", "/ncr/api/v2/repositories/my-registry/hello%2Fworld", 1_700_000_000_000, ACCESS_KEY, SECRET_KEY, "LATiwP0b8zjFjl4BEBuGJV1sfIsX4tkwIT+y5z4vvnw="),
        ("DELETE", "/ncr/jpn-api/v2/repositories/team/app", 0, "A", "s", "1KVlsSjcZrfMiLO8k3Q6Kfddln/DpMAJ2ZE+9I2PWbk="),
        ("GET", "/ncr/api/v2/repositories/my-registry/hello%2Fworld/tags?page=1&pagesize=20", 1_764_000_000_123, ACCESS_KEY, long, "PZ0Dw2SMu9HRTVI4peapoqje/NxBkraaR65ae51OOQY="),
        ("DELETE", "/ncr/kr/v2/repositories/r/%ED%95%9C%EA%B5%AD", 4_102_444_800_000, ACCESS_KEY, SECRET_KEY, "xnx6pLQEfjXhN7Vjl8YC/QIu43zjL6aO0fShDizZ3CM="),
    ];
    for (method, target, timestamp_ms, access_key, secret_key, signature) in rows {
        let credentials = Credentials::new(access_key, secret_key).unwrap();
        assert_eq!(credentials.access_key(), access_key);
        for credentials in [credentials.clone(), credentials] {
            assert_eq!(credentials.sign(method, target, timestamp_ms), signature);
        }
    }
}

/// The access key, and whether the secret key is that of the tests: the signature tells.
#[track_caller]
fn describe(found: Result<Credentials, Error>) -> String {
    match found {
        Ok(found) => {
            let is_ours = found.sign("M", "/", 1) == credentials().sign("M", "/", 1);
            format!("{} {is_ours}", found.access_key())
        }
        Err(error) => {
            let text = error.to_string();
            assert_eq!(
                (error.kind(), error.attempts()),
                (ErrorKind::Credentials, 0)
            );
            assert!(!error.may_have_been_deleted() && !error.is_transient());
            assert!(!text.contains(SECRET_KEY), "{text}");
            text
        }
    }
}

const OURS: &str = "AKTEST0123456789abcd true";
const EMPTY: &str = "is empty";
const WHITESPACE: &str = "contains whitespace, perhaps a line break";
const QUOTES: &str = "contains a quotation mark; remove the quotes around it";
const NOT_ASCII: &str = "is not printable ASCII";

#[test]
fn new_refuses_a_key_that_cannot_be_right() {
    #[rustfmt::skip] // one row a line
    let rows = [
        (EMPTY, &[""][..]),
        (WHITESPACE, &[" ", " k", "k ", "\tk", "k\n", "\"k\"\r", "a\r\nx: y", "AK # deploy", "k\u{a0}"]),
        (QUOTES, &["\"AK\"", "'AK'", "AK\"", "A'K"]),
        (NOT_ASCII, &["a\0b", "k\u{fffd}", "키", "\u{feff}k", "k\u{7f}", "“AK”"]),
    ];
    for (why, keys) in rows {
        for key in keys {
            let text = describe(Credentials::new(key, SECRET_KEY));
            assert_eq!(text, format!("the access key {why}"));
            let text = describe(Credentials::new(ACCESS_KEY, key));
            assert_eq!(text, format!("the secret key {why}"));
        }
    }
    // Anything else is for the service to judge.
    for key in ["a", "a=b:c,d", "~!#$%^&*()", "a#b;c[d]", &"k".repeat(5000)] {
        let gateway = Gateway::with(&[]);
        let credentials = Credentials::new(key, key).unwrap();
        let client = Client::builder(gateway.url(), credentials).build().unwrap();
        let error = client.delete_image("r", "i").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert_eq!(gateway.requests()[0].header("x-ncp-iam-access-key"), [key]);
    }
}

/// A home directory with a key file, removed in the end.
struct Home(PathBuf);

const HOME: &str = if cfg!(windows) { "USERPROFILE" } else { "HOME" };

impl Home {
    fn new(content: impl AsRef<[u8]>) -> Home {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("ncr-home-{}-{number}", std::process::id());
        let home = Home(std::env::temp_dir().join(name));
        std::fs::create_dir_all(home.0.join(".ncloud")).unwrap();
        std::fs::write(home.file(), content).unwrap();
        home
    }

    fn file(&self) -> PathBuf {
        self.0.join(".ncloud").join("configure")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn assert_file(content: impl AsRef<[u8]>, profile: &str, expected: &str) {
    let (home, shown) = (
        Home::new(&content),
        String::from_utf8_lossy(content.as_ref()),
    );
    let file = home.file();
    let describe = |found| describe(found).replace(file.to_str().unwrap(), "PATH");
    let found = describe(Credentials::from_profile(&file, profile));
    assert_eq!(found, expected, "[{profile}] in {shown:?}");
    if profile == "DEFAULT" {
        assert_eq!(
            describe(Credentials::from_file(&file)),
            expected,
            "{shown:?}"
        );
    }
}

/// A pair of keys as lines of a file.
fn pair(access_key: &str) -> String {
    format!("ncloud_access_key_id = {access_key}\nncloud_secret_access_key = s\n")
}

#[rustfmt::skip] // one row a line
#[test]
fn from_profile_reads_one_section() {
    let ours = format!("ncloud_access_key_id={ACCESS_KEY}\nncloud_secret_access_key={SECRET_KEY}");
    let (a, b) = (pair("A"), pair("B"));
    let sections = format!("{a}[prod]\n{b}");
    let crlf = sections.replace('\n', "\r\n");
    let half = |name: &str| format!("no keys in PATH: no {name} under [DEFAULT]");
    let twice = |name: &str| format!("no keys in PATH: {name} is set more than once under [DEFAULT]; keep one");
    let (access, secret) = ("ncloud_access_key_id", "ncloud_secret_access_key");
    let rows = [
        (&*ours, "DEFAULT", OURS.to_owned()),
        (&format!("\u{feff}# keys\n; of\n\n \t\n[DEFAULT]\nncloud_region = KR\n\t{a}"), "DEFAULT", "A false".into()),
        ("[x]\nncloud_access_key_id\t=\tA \nother.setting-1 =\nncloud_secret_access_key = s=[#;]", "x", "A false".into()),
        (&sections, "DEFAULT", "A false".into()),
        (&sections, "prod", "B false".into()),
        (&crlf, "DEFAULT", "A false".into()),
        (&crlf, "prod", "B false".into()),
        (&format!("[x]\n{b}[DEFAULT]\n{a}"), "DEFAULT", "A false".into()),
        (&format!("[ 운영 prod ]\n{b}"), "운영 prod", "B false".into()),
        // Half of a section in two places.
        (&format!("{access} = A\n[x]\n{b}[DEFAULT]\n{secret} = s"), "DEFAULT", "A false".into()),
        // Another section is never used, nor another name.
        (&sections, "depoy", "no keys in PATH: no section [depoy]; the file has [DEFAULT], [prod]".into()),
        (&sections, "Prod", "no keys in PATH: no section [Prod]; the file has [DEFAULT], [prod]".into()),
        (&sections, "", "no keys in PATH: no section []; the file has [DEFAULT], [prod]".into()),
        (&format!("[prod]\n{b}"), "DEFAULT", "no keys in PATH: no section [DEFAULT]; the file has [prod]".into()),
        ("# empty", "DEFAULT", "no keys in PATH: no section [DEFAULT]; the file has none".into()),
        (&format!("[\u{202e}]\n{b}"), "x\n", "no keys in PATH: no section [x\\n]; the file has [\\u{202e}]".into()),
        (&format!("{access} = A\n[prod]\n{b}"), "DEFAULT", half(secret)),
        (&format!("{secret} = s\n[prod]\n{b}"), "DEFAULT", half(access)),
        (&format!("#{access} = A\n{secret} = s"), "DEFAULT", half(access)),
        (&format!("{}\n{secret} = s", access.to_uppercase()), "DEFAULT", "no keys in PATH: line 1 must be a comment, a [section] or \"name = value\"".into()),
        (&format!("NCLOUD_ACCESS_KEY_ID = A\n{secret} = s"), "DEFAULT", half(access)),
        // What was meant, where two are given, is not known.
        (&format!("{a}#[prod]\n{b}"), "DEFAULT", twice(access)),
        (&format!("{a}[x]\n[DEFAULT]\n{secret} ="), "DEFAULT", twice(secret)),
        (&format!("{access} =\n{secret} = s"), "DEFAULT", format!("PATH: the access key {EMPTY}")),
        (&format!("{access} = A\n{secret} = s # mine"), "DEFAULT", format!("PATH: the secret key {WHITESPACE}")),
        (&format!("{access} = \"A\"\n{secret} = s"), "DEFAULT", format!("PATH: the access key {QUOTES}")),
        (&format!("{access} = 키\n{secret} = s"), "DEFAULT", format!("PATH: the access key {NOT_ASCII}")),
    ];
    for (content, profile, expected) in rows {
        assert_file(content, profile, &expected);
    }
    // A comment may be in any encoding that contains ASCII.
    assert_file([b"# \xb0\xb3\n", a.as_bytes()].concat(), "DEFAULT", "A false");
}

/// Whatever such a line means, it could be the beginning of another account's section.
#[test]
fn from_profile_refuses_a_line_that_it_does_not_understand() {
    let prod = pair("P");
    let lines = [
        "prod]",
        "[prod",
        "[prod] # comment",
        "[a] [prod]",
        "[[prod]]",
        "[]",
        "[ ]",
        "[SK = s]",
        "old [prod]",
        "== [prod] ==",
        "export a = b",
        "a b = c",
        "= b",
        "키 = b",
        "ncloud_access_key_id: A",
        "ncloud_access_key_id",
        "//",
        "\u{a0}[prod]",
        "\u{200b}[prod]",
        "\u{feff}[prod]",
        "＃ comment",
    ];
    // What an editor may show as the end of a line, or not at all.
    let hidden = "\0\r\u{b}\u{c}\u{1b}\u{7f}\u{85}\u{2028}\u{2029}";
    let hidden = hidden.chars().flat_map(|c| {
        [
            format!("# x{c}[prod]"),
            format!("{c} x"),
            format!("a = b{c}x"),
            format!("{c}[prod]"),
        ]
    });
    let expected = "no keys in PATH: line 2 must be a comment, a [section] or \"name = value\"";
    for line in lines.map(str::to_owned).into_iter().chain(hidden) {
        for profile in ["DEFAULT", "prod"] {
            assert_file(format!("[DEFAULT]\n{line}\n{prod}"), profile, expected);
        }
    }
    // Names that are not UTF-8 could stand for one another.
    let text = [b"[x]\n[\xb0\xb3]\n", prod.as_bytes()].concat();
    assert_file(text, "\u{fffd}\u{fffd}", expected);
    let utf_16: Vec<_> = prod.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_file(utf_16, "DEFAULT", &expected.replace('2', "1"));
}

#[test]
fn from_file_reads_64_kib_of_any_file() {
    let fill = |length: usize| pair("K") + &"#".repeat(length - pair("K").len());
    assert_file(fill(64 * 1024), "DEFAULT", "K false");
    let too_long = "no keys in PATH: it is longer than 64 KiB";
    assert_file(fill(64 * 1024 + 1), "DEFAULT", too_long);

    let missing = std::env::temp_dir().join("ncr-no-such-folder");
    let cause = std::fs::read(&missing).unwrap_err();
    let expected = format!("no keys in {}: {cause}", missing.display());
    assert_eq!(describe(Credentials::from_file(&missing)), expected);
    if cfg!(unix) {
        let endless = describe(Credentials::from_file("/dev/zero"));
        assert_eq!(endless, "no keys in /dev/zero: it is longer than 64 KiB");
    }
}

const SET_BOTH: &str = "no keys: set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY";

#[track_caller]
fn assert_env(environment: &[(&str, impl AsRef<std::ffi::OsStr>)], expected: &str) {
    let described = child(from_env_reads_variables_or_else_the_file, environment);
    let names: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name, value.as_ref()))
        .collect();
    assert_eq!(described, expected, "{names:?}");
}

#[rustfmt::skip] // one row a line
#[test]
fn from_env_reads_variables_or_else_the_file() {
    if_child(|| describe(Credentials::from_env()));
    const ID: &str = "NCLOUD_ACCESS_KEY_ID";
    const AK: &str = "NCLOUD_ACCESS_KEY";
    const SAK: &str = "NCLOUD_SECRET_ACCESS_KEY";
    const SK: &str = "NCLOUD_SECRET_KEY";
    const PROFILE: &str = "NCLOUD_PROFILE";
    let home = Home::new(format!("{}[prod]\n{}", pair("D"), pair("P")));
    let (home, path) = (home.0.to_str().unwrap(), home.file());
    // Where a file name can have a line break, it is escaped.
    let nowhere = format!("{home}/{}", if cfg!(windows) { "no" } else { "\n" });
    let file_nowhere = PathBuf::from(&nowhere).join(".ncloud").join("configure");
    let not_there = std::fs::read(&file_nowhere).unwrap_err();
    let file_nowhere = file_nowhere.display().to_string().replace('\n', "\\n");
    let in_file = |why: &str| format!("no keys in {}: {why}", path.display());
    let differ = |what: &str, names: &str| format!("unusable {what} key: {names} differ, which may mean two accounts; unset one of them");
    let half = |what: &str, name: &str| format!("no {what} key: set {name}; with a key variable set, the key file is not read");
    let both = |name: &str| format!("unusable keys: NCLOUD_PROFILE and {name} are both set, which may mean two accounts; unset one of them");
    let empty = |what: &str, name: &str| format!("the {what} key in {name} {EMPTY}");
    let rows = [
        (&[(ID, ACCESS_KEY), (SAK, SECRET_KEY)][..], OURS.to_owned()),
        (&[(AK, ACCESS_KEY), (SK, SECRET_KEY)], OURS.into()),
        (&[(ID, ACCESS_KEY), (SK, SECRET_KEY)], OURS.into()),
        (&[(AK, ACCESS_KEY), (SAK, SECRET_KEY)], OURS.into()),
        (&[(ID, ACCESS_KEY), (AK, ACCESS_KEY), (SAK, SECRET_KEY), (SK, SECRET_KEY)], OURS.into()),
        (&[(ID, ACCESS_KEY), (SAK, SECRET_KEY), (PROFILE, "")], OURS.into()),
        (&[(ID, "x"), (AK, "y"), (SAK, "s")], differ("access", "NCLOUD_ACCESS_KEY_ID and NCLOUD_ACCESS_KEY")),
        (&[(ID, "x"), (SAK, "s"), (SK, "t")], differ("secret", "NCLOUD_SECRET_ACCESS_KEY and NCLOUD_SECRET_KEY")),
        // As a CI sets them that lacks its secrets, also beside the keys of another tool.
        (&[(ID, ""), (SAK, "s")], empty("access", ID)),
        (&[(AK, ""), (SAK, "s")], empty("access", AK)),
        (&[(ID, "x"), (SAK, "")], empty("secret", SAK)),
        (&[(ID, "x"), (SK, "")], empty("secret", SK)),
        (&[(ID, ""), (AK, "y"), (SAK, "s")], differ("access", "NCLOUD_ACCESS_KEY_ID and NCLOUD_ACCESS_KEY")),
        (&[(ID, "x"), (SAK, "s"), (SK, "")], differ("secret", "NCLOUD_SECRET_ACCESS_KEY and NCLOUD_SECRET_KEY")),
        (&[(ID, "x")], half("secret", SAK)),
        (&[(AK, "x")], half("secret", SAK)),
        (&[(SAK, "x")], half("access", ID)),
        (&[(SK, "")], half("access", ID)),
        (&[(AK, "\"AK\""), (SAK, "s")], format!("the access key in NCLOUD_ACCESS_KEY {QUOTES}")),
        (&[(ID, "x"), (SK, "SK\n")], format!("the secret key in NCLOUD_SECRET_KEY {WHITESPACE}")),
        // It is not for this crate to say which account was meant.
        (&[(ID, "x"), (SAK, "s"), (PROFILE, "prod")], both(ID)),
        (&[(SK, ""), (PROFILE, "prod")], both(SK)),
        (&[], "D false".into()),
        (&[(PROFILE, "DEFAULT")], "D false".into()),
        (&[(PROFILE, "prod")], "P false".into()),
        (&[(PROFILE, "depoy")], in_file("no section [depoy]; the file has [DEFAULT], [prod]")),
        (&[(PROFILE, "")], "no keys: NCLOUD_PROFILE is set, but empty; name a section of the key file, or unset it".into()),
        (&[(HOME, &*nowhere)], format!("{SET_BOTH}, or create {file_nowhere}")),
        (&[(HOME, &*nowhere), (PROFILE, "prod")], format!("no keys in {file_nowhere}: {not_there}")),
        // A home directory that is relative would be one of the current directory's.
        (&[(HOME, "")], SET_BOTH.into()),
        (&[(HOME, ".")], SET_BOTH.into()),
        (&[(HOME, "home")], SET_BOTH.into()),
    ];
    for (environment, expected) in rows {
        assert_env(&[&[(HOME, home)], environment].concat(), &expected);
    }
    assert_env(&[("PATH", "")], SET_BOTH);
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt as _;
        let not_unicode = || OsString::from_vec(b"\xff".to_vec());
        let expected = format!("the secret key in NCLOUD_SECRET_KEY {NOT_ASCII}");
        assert_env(&[(AK, OsString::from("a")), (SK, not_unicode())], &expected);
        let expected = in_file("no section [\u{fffd}]; the file has [DEFAULT], [prod]");
        assert_env(&[(HOME, home.into()), (PROFILE, not_unicode())], &expected);
    }
}
