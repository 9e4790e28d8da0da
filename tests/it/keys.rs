//! Where credentials come from, and which are refused.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ncloud_container_registry::{Client, Credentials, Error, ErrorKind};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY};
use crate::{child, credentials, if_child};

#[test]
fn credentials_sign_as_the_vectors_say() {
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
fn describe(found: Result<Credentials, Error>) -> String {
    match found {
        Ok(found) => {
            let is_ours = found.sign("M", "/", 1) == credentials().sign("M", "/", 1);
            format!("{} {is_ours}", found.access_key())
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Credentials);
            assert_eq!(
                (error.attempts(), error.may_have_been_deleted()),
                (0, false)
            );
            assert!(!error.to_string().contains(SECRET_KEY), "{error}");
            error.to_string()
        }
    }
}

const OURS: &str = "AKTEST0123456789abcd true";

#[test]
fn credentials_new_refuses_a_key_that_cannot_be_right() {
    let quotes = "it contains a quotation mark; remove the quotes around it";
    let line_break = "it ends with a line break; remove it";
    let rest = "it must be printable ASCII; remove whitespace, and any comment after it";
    let rows = [
        ("", "it is empty"),
        ("k\n", line_break),
        ("\"k\"\r", line_break),
    ]
    .into_iter()
    .chain(["\"AK\"", "'AK'", "\"AK\" # deploy", "AK\"", "A'K"].map(|key| (key, quotes)))
    .chain(
        [
            " ",
            " k",
            "k ",
            "\tk",
            "a\r\nx: y",
            "AK # deploy",
            "k\u{a0}",
        ]
        .map(|key| (key, rest)),
    )
    .chain(["a\0b", "k\u{fffd}", "키", "\u{feff}k", "k\u{7f}", "“AK”"].map(|key| (key, rest)));
    for (key, why) in rows {
        let text = describe(Credentials::new(key, SECRET_KEY));
        assert_eq!(text, format!("unusable access key: {why}"));
        let text = describe(Credentials::new(ACCESS_KEY, key));
        assert_eq!(text, format!("unusable secret key: {why}"));
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

#[track_caller]
fn assert_profile(content: impl AsRef<[u8]>, profile: &str, expected: &str) {
    let file = TempFile::new(&content);
    let described = describe(Credentials::from_profile(&file.0, profile));
    let described = described.replace(&*file.0.to_string_lossy(), "PATH");
    let content = String::from_utf8_lossy(content.as_ref());
    assert_eq!(described, expected, "[{profile}] of {content:?}");
}

/// What comes of a file, by both ways to its default section.
#[track_caller]
fn assert_file(content: impl AsRef<[u8]>, expected: &str) {
    assert_profile(&content, "DEFAULT", expected);
    let file = TempFile::new(content);
    let described = describe(Credentials::from_file(&file.0));
    let described = described.replace(&*file.0.to_string_lossy(), "PATH");
    assert_eq!(described, expected);
}

/// What is told of a section that lacks a key, in a file that has `sections`.
fn missing(what: &str, profile: &str, sections: &str) -> String {
    let name = match what {
        "access" => "ncloud_access_key_id",
        _ => "ncloud_secret_access_key",
    };
    format!(
        "no {what} key under [{profile}] in PATH, which has {sections}: set \"{name} = ...\" \
         there, or name another section"
    )
}

const NO_SECTIONS: &str = "no section headers";

/// Two lines with both keys.
fn pair(of: &str) -> String {
    format!("ncloud_access_key_id = {of}\nncloud_secret_access_key = {of}\n")
}

#[test]
fn from_file_reads_what_the_vendors_tools_write() {
    let access = format!("ncloud_access_key_id = {ACCESS_KEY}");
    let secret = format!("ncloud_secret_access_key = {SECRET_KEY}");
    let other = pair("OTHER");
    for content in [
        format!("{access}\n{secret}\n"),
        format!("{secret}\n{access}"),
        format!("{access}\r\n{secret}\r\n"),
        format!("\u{feff}{access}\n{secret}\n"),
        format!("\u{feff}[DEFAULT]\n{access}\n{secret}\n"),
        format!("  {}\n\t{secret}\t\n", access.replace(" = ", "=\t")),
        format!("# keys = here\n[DEFAULT]\n{access}\n\n#{access}\nncloud_api_url = x\n{secret}\n"),
        format!("[first]\n{other}[DEFAULT]\n{access}\n{secret}\n[last]\n{other}"),
        format!("[first]\n{other}[default]\n{access}\n{secret}\n"),
        format!("{access}\n[first]\n{other}[DEFAULT]\n{secret}\n"),
        format!("no setting\n=\n= x\n{access}\n{secret}"),
        format!("[first]\n{other} [ Default ] # mine\n{access}\n{secret}\n"),
        format!("{access}\nncloud_region = [x]\n# [y]\n ;[z]\n{secret}\n"),
    ] {
        assert_file(content, OURS);
    }
    // A comment in CP949, the encoding of Korean Windows.
    let comment = b"# \xb9\xe8\xc6\xf7\n";
    assert_file([comment, pair("K").as_bytes()].concat(), "K false");
    // A value is what follows the first =.
    let file = TempFile::new(format!("{access}\nncloud_secret_access_key = a=b==\n"));
    let from_file = Credentials::from_file(&file.0).unwrap();
    let expected = Credentials::new(ACCESS_KEY, "a=b==").unwrap();
    assert_eq!(from_file.sign("M", "/", 0), expected.sign("M", "/", 0));
}

#[test]
fn from_profile_reads_one_section() {
    let [default, project, stage] = ["D", "P", "S"].map(pair);
    let text = format!("{default}[project]\n{project}[ Stage ] # x\n{stage}");
    for (profile, expected) in [
        ("project", "P false"),
        ("PROJECT", "P false"),
        ("stage", "S false"),
        ("DEFAULT", "D false"),
        ("default", "D false"),
    ] {
        assert_profile(&text, profile, expected);
    }
    let text = format!(
        "[a]\n{}[b]\n{}[a]\nncloud_region = KR",
        pair("A"),
        pair("B")
    );
    assert_profile(&text, "a", "A false");
    // Which account was meant is for the reader to say.
    assert_profile(&text, "depoy", &missing("access", "depoy", "[a], [b], [a]"));
    assert_profile("", "x", &missing("access", "x", NO_SECTIONS));
    // No section has an empty name.
    let text = format!("[]\n{}", pair("E"));
    assert_profile(text, "", &missing("access", "", NO_SECTIONS));
}

#[test]
fn from_file_uses_no_keys_that_nobody_pointed_at() {
    let (access, secret) = ("ncloud_access_key_id", "ncloud_secret_access_key");
    let prod = format!("[prod]\n{}", pair("P"));
    #[rustfmt::skip] // one row a line
    let rows = [
        (String::new(), "access", NO_SECTIONS),
        (format!("{secret} = s"), "access", NO_SECTIONS),
        (format!("{access} =\n{secret} = s"), "access", NO_SECTIONS),
        (format!("{access}: AK\n{secret}: SK"), "access", NO_SECTIONS),
        (format!("{access} = a"), "secret", NO_SECTIONS),
        (format!("{access} = a\n{secret} = \n"), "secret", NO_SECTIONS),
        (prod.clone(), "access", "[prod]"),
        (format!("[DEFAULT]\n#{access} = a\n#{secret} = s\n{prod}"), "access", "[DEFAULT], [prod]"),
        (format!("[DEFAULT]\n{access}_ = a\n{secret}_ = s\n{prod}"), "access", "[DEFAULT], [prod]"),
        (format!("[DEFAULT]\n{access} =\n{secret} =\n{prod}"), "access", "[DEFAULT], [prod]"),
        (format!("[{}]\n{}", "\u{202e}", pair("T")), "access", "[\\u{202e}]"),
        // No header either, and nothing of the file but its headers is shown.
        (format!("[DEFAULT\n{}", pair("T")), "access", NO_SECTIONS),
        (format!("[{access} = X\n{}", pair("T")), "access", NO_SECTIONS),
        (format!("{access} =\n{secret} = [SK]"), "access", NO_SECTIONS),
        (format!("[{secret} = SK]\n{secret}=[SK]"), "access", NO_SECTIONS),
        // No pair is put together from two sections.
        (format!("{prod}[DEFAULT]\n{access} = a\n"), "secret", "[prod], [DEFAULT]"),
        (format!("[a]\n{access} = a\n[DEFAULT]\n{secret} = s"), "access", "[a], [DEFAULT]"),
    ];
    for (content, what, sections) in rows {
        assert_file(content, &missing(what, "DEFAULT", sections));
    }
}

#[test]
fn from_profile_finds_no_keys_below_a_header_that_is_hidden() {
    let not_text =
        "no keys in PATH: it contains control characters; save it as plain text in UTF-8";
    // What an editor may show as the end of a line, or not at all.
    for hiding in [
        "\0", "\r", "\u{b}", "\u{c}", "\u{7f}", "\u{85}", "\u{2028}", "\u{2029}", "\u{1b}",
    ] {
        for line in [
            format!("# old{hiding}[prod]\n"),
            format!("{hiding}[prod]\n"),
            format!("#{hiding}x\n"),
        ] {
            assert_file(format!("{line}{}", pair("P")), not_text);
        }
    }
    let utf_16: Vec<_> = pair("K")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_file(&utf_16, not_text);
    // What is prose, or invisible, opens a section without a name.
    for hiding in [
        "\u{a0}\u{200b}",
        "• ",
        "기존 ",
        "old ",
        "//",
        "\u{feff}",
        "=",
        "== ",
        "a b = ",
    ] {
        let text = format!("[x]\n{hiding}[prod]\n{}", pair("P"));
        for profile in ["prod", "x", "DEFAULT"] {
            assert_profile(&text, profile, &missing("access", profile, "[x]"));
        }
    }
    // Names that are not Unicode could stand for one another.
    let text = [b"[\xb0\xb3]\n", pair("O").as_bytes()].concat();
    let profile = "\u{fffd}\u{fffd}";
    assert_profile(&text, profile, &missing("access", profile, NO_SECTIONS));
}

#[test]
fn from_file_takes_a_comment_for_a_comment_whatever_it_begins_with() {
    for mark in [
        "#", "# ", ";", "//", "• ", "키 ", "\u{a0}", "\u{200b}", "“", "- ", "old ", "export ",
    ] {
        let comment = format!("{mark}ncloud_access_key_id = OTHER\n");
        let half = format!("{comment}ncloud_secret_access_key = s\n");
        assert_file(half, &missing("access", "DEFAULT", NO_SECTIONS));
        let ours = format!(
            "{comment}ncloud_access_key_id = {ACCESS_KEY}\nncloud_secret_access_key = {SECRET_KEY}"
        );
        assert_file(ours, OURS);
    }
}

#[test]
fn from_profile_refuses_a_key_that_is_given_twice() {
    let twice = |what, profile| {
        format!(
            "unusable {what} key under [{profile}] in PATH: it is given more than once; keep one"
        )
    };
    // A header that was commented out leaves two pairs in one section.
    let text = format!("{}# [prod]\n{}", pair("D"), pair("P"));
    assert_file(text, &twice("access", "DEFAULT"));
    let text = format!("{}[DEFAULT]\n{}", pair("A"), pair("A"));
    assert_file(text, &twice("access", "DEFAULT"));
    let text = format!("{}ncloud_secret_access_key = \n", pair("D"));
    assert_file(text, &twice("secret", "DEFAULT"));
    let text = format!("[a]\n{}[b]\n[A]\n{}", pair("A"), pair("B"));
    assert_profile(text, "a", &twice("access", "a"));
}

#[test]
fn from_file_says_why_a_file_cannot_be_used() {
    #[rustfmt::skip] // one row a line
    let rows = [
        ("AK # deploy", "s", "access key in PATH: it must be printable ASCII; "),
        ("a", "\"s\"", "secret key in PATH: it contains a quotation mark; "),
        ("é", "s", "access key in PATH: it must be printable ASCII; "),
    ];
    for (access_key, secret_key, expected) in rows {
        let text =
            format!("ncloud_access_key_id = {access_key}\nncloud_secret_access_key = {secret_key}");
        let file = TempFile::new(text);
        let described = describe(Credentials::from_file(&file.0));
        let described = described.replace(&*file.0.to_string_lossy(), "PATH");
        assert!(
            described.starts_with(&format!("unusable {expected}")),
            "{described}"
        );
    }
    let fill = |length: usize| pair("K") + &"#".repeat(length - pair("K").len());
    assert_file(fill(64 * 1024), "K false");
    assert_file(
        fill(64 * 1024 + 1),
        "no keys in PATH: it is longer than 64 KiB",
    );

    let missing = std::env::temp_dir()
        .join("ncr-no-such-folder")
        .join("configure");
    let cause = std::fs::read(&missing).unwrap_err();
    let expected = format!("no keys in {}: {cause}; create it", missing.display());
    assert_eq!(describe(Credentials::from_file(&missing)), expected);
    let folder = describe(Credentials::from_file(std::env::temp_dir()));
    assert!(folder.starts_with("no keys in "), "{folder}");
    assert!(!folder.contains("create it"), "{folder}");
}

#[cfg(unix)]
#[test]
fn from_file_reads_a_pipe_and_nothing_without_end() {
    let folder = std::env::temp_dir().join(format!("ncr-pipe-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let pipe = folder.join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let writer = crate::Background::start({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, pair("K"))
    });
    assert_eq!(describe(Credentials::from_file(&pipe)), "K false");
    writer.finish().unwrap();
    let error = describe(Credentials::from_file("/dev/zero"));
    assert_eq!(error, "no keys in /dev/zero: it is longer than 64 KiB");
    std::fs::remove_dir_all(&folder).unwrap();
}

const SET_BOTH: &str = "set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY";

#[test]
fn from_env_reads_every_name() {
    if_child(|| describe(Credentials::from_env()));
    #[track_caller]
    fn assert_env(environment: &[(&str, &str)], expected: &str) {
        let described = child("keys::from_env_reads_every_name", environment);
        assert_eq!(described, expected, "{environment:?}");
    }
    let ours_by = |access, secret| [(access, ACCESS_KEY), (secret, SECRET_KEY)];
    let first = ours_by("NCLOUD_ACCESS_KEY_ID", "NCLOUD_SECRET_ACCESS_KEY");
    let second = ours_by("NCLOUD_ACCESS_KEY", "NCLOUD_SECRET_KEY");
    assert_env(&first, OURS);
    assert_env(&second, OURS);
    assert_env(&ours_by("NCLOUD_ACCESS_KEY_ID", "NCLOUD_SECRET_KEY"), OURS);
    assert_env(
        &ours_by("NCLOUD_ACCESS_KEY", "NCLOUD_SECRET_ACCESS_KEY"),
        OURS,
    );
    assert_env(&[first, second].concat(), OURS);
    // A profile is for a file.
    assert_env(&[&first[..], &[("NCLOUD_PROFILE", "x")]].concat(), OURS);

    #[rustfmt::skip] // one row a line
    let rows = [
        ("access key: NCLOUD_ACCESS_KEY_ID and NCLOUD_ACCESS_KEY", "NCLOUD_ACCESS_KEY"),
        ("secret key: NCLOUD_SECRET_ACCESS_KEY and NCLOUD_SECRET_KEY", "NCLOUD_SECRET_KEY"),
    ];
    for (names, other) in rows {
        let expected =
            format!("unusable {names} differ, which may mean two accounts; unset one of them");
        assert_env(&[&first[..], &[(other, "x")]].concat(), &expected);
    }
    // As a CI sets them that lacks its secrets, also beside the keys of another tool.
    for name in ["NCLOUD_ACCESS_KEY_ID", "NCLOUD_ACCESS_KEY"] {
        let empty = format!("unusable access key in {name}: it is empty");
        assert_env(&[(name, ""), first[1]], &empty);
        let other = if name == first[0].0 {
            second[0]
        } else {
            first[0]
        };
        assert_env(&[(name, ""), other, first[1]], &empty);
    }
    for name in ["NCLOUD_SECRET_ACCESS_KEY", "NCLOUD_SECRET_KEY"] {
        let empty = format!("unusable secret key in {name}: it is empty");
        assert_env(&[first[0], (name, "")], &empty);
        let other = if name == first[1].0 {
            second[1]
        } else {
            first[1]
        };
        assert_env(&[(name, ""), other, first[0]], &empty);
    }
    let half = |what, name| {
        format!("no {what} key: set {name}; with a key variable set, the key file is not read")
    };
    assert_env(&[], &half("access", first[0].0));
    assert_env(&[first[1]], &half("access", first[0].0));
    assert_env(&[second[0]], &half("secret", first[1].0));
    let quoted = "unusable access key in NCLOUD_ACCESS_KEY: it contains a quotation mark; remove the \
                  quotes around it";
    assert_env(&[("NCLOUD_ACCESS_KEY", "\"AK\""), first[1]], quoted);
    let line_break =
        "unusable secret key in NCLOUD_SECRET_KEY: it ends with a line break; remove it";
    assert_env(&[first[0], ("NCLOUD_SECRET_KEY", "SK\n")], line_break);
}

#[cfg(unix)]
#[test]
fn from_env_refuses_a_key_that_is_not_unicode() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

    if_child(|| describe(Credentials::load()));
    let name = "keys::from_env_refuses_a_key_that_is_not_unicode";
    for (place, access_key, secret_key) in [
        ("access key in NCLOUD_ACCESS_KEY", &b"\xff"[..], &b"s"[..]),
        ("secret key in NCLOUD_SECRET_KEY", b"a", b"\xff"),
    ] {
        let environment = [
            ("NCLOUD_ACCESS_KEY", OsString::from_vec(access_key.to_vec())),
            ("NCLOUD_SECRET_KEY", OsString::from_vec(secret_key.to_vec())),
        ];
        let described = child(name, &environment);
        let start = format!("unusable {place}: it must be printable ASCII; ");
        assert!(described.starts_with(&start), "{described}");
    }
}

/// A home directory, whose key file is written by [`Home::write`].
struct Home(PathBuf);

const HOME: &str = if cfg!(windows) { "USERPROFILE" } else { "HOME" };

impl Home {
    fn new(name: &str) -> Home {
        let home = std::env::temp_dir().join(format!("ncr-{name}-{}", std::process::id()));
        std::fs::create_dir_all(home.join(".ncloud")).unwrap();
        Home(home)
    }

    fn file(&self) -> PathBuf {
        self.0.join(".ncloud").join("configure")
    }

    fn write(&self, content: &str) {
        std::fs::write(self.file(), content).unwrap();
    }

    /// What the named test reports in this home and `environment`.
    #[track_caller]
    fn assert_loads(&self, test: &str, environment: &[(&str, &str)], expected: &str) {
        let mut all = environment.to_vec();
        let home = self.0.to_str().unwrap();
        all.push((HOME, home));
        let described = child(test, &all).replace(self.file().to_str().unwrap(), "PATH");
        assert_eq!(described, expected, "{environment:?}");
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn load_looks_into_the_environment_before_the_file() {
    if_child(|| describe(Credentials::load()));
    let test = "keys::load_looks_into_the_environment_before_the_file";
    let home = Home::new("home");
    let ours = [
        ("NCLOUD_ACCESS_KEY", ACCESS_KEY),
        ("NCLOUD_SECRET_KEY", SECRET_KEY),
    ];
    home.assert_loads(test, &[], &format!("no keys: {SET_BOTH}, or create PATH"));
    let profile = [("NCLOUD_PROFILE", "x"), (HOME, home.0.to_str().unwrap())];
    let described = child(test, &profile);
    assert!(described.starts_with("no keys in "), "{described}");
    assert!(described.ends_with("; create it"), "{described}");
    home.write(&pair("F"));
    home.assert_loads(test, &[], "F false");
    home.assert_loads(test, &ours, OURS);
    // A variable that is set, even if empty, points at the environment.
    let half = "; with a key variable set, the key file is not read";
    for (name, value, expected) in [
        ("NCLOUD_ACCESS_KEY_ID", "x", half),
        ("NCLOUD_ACCESS_KEY", "x", half),
        ("NCLOUD_SECRET_ACCESS_KEY", "x", half),
        ("NCLOUD_SECRET_KEY", "", half),
    ] {
        let described = child(test, &[(name, value), (HOME, home.0.to_str().unwrap())]);
        assert!(described.contains(expected), "{name}={value}: {described}");
    }
    // A home directory that is relative would be one of the current directory's.
    for home in ["", ".", "home"] {
        assert_eq!(
            child(test, &[(HOME, home)]),
            format!("no keys: {SET_BOTH}"),
            "{home}"
        );
    }
}

#[cfg(unix)]
#[test]
fn load_shows_a_path_on_one_line() {
    if_child(|| describe(Credentials::load()));
    let described = child(
        "keys::load_shows_a_path_on_one_line",
        &[(HOME, "/no\nhome")],
    );
    assert!(
        described.ends_with(", or create /no\\nhome/.ncloud/configure"),
        "{described}"
    );
}

#[test]
fn load_takes_the_section_that_the_environment_names() {
    if_child(|| describe(Credentials::load()));
    let test = "keys::load_takes_the_section_that_the_environment_names";
    let home = Home::new("profile");
    home.write(&format!("[DEFAULT]\n{}[project]\n{}", pair("D"), pair("P")));
    home.assert_loads(test, &[], "D false");
    home.assert_loads(test, &[("NCLOUD_PROFILE", "project")], "P false");
    home.assert_loads(test, &[("NCLOUD_PROFILE", "Default")], "D false");
    let expected = missing("access", "stage", "[DEFAULT], [project]");
    home.assert_loads(test, &[("NCLOUD_PROFILE", "stage")], &expected);
    let empty =
        "no keys: NCLOUD_PROFILE is set, but empty; name a section of the key file, or unset it";
    home.assert_loads(test, &[("NCLOUD_PROFILE", "")], empty);
    // It is not for this crate to say which account was meant.
    let ours = [
        ("NCLOUD_ACCESS_KEY_ID", ACCESS_KEY),
        ("NCLOUD_SECRET_ACCESS_KEY", SECRET_KEY),
    ];
    for (name, value) in [
        ours[0],
        ours[1],
        ("NCLOUD_ACCESS_KEY", ""),
        ("NCLOUD_SECRET_KEY", "x"),
    ] {
        let expected = format!(
            "unusable keys: NCLOUD_PROFILE and {name} are both set, which may mean two accounts; \
             unset one of them"
        );
        home.assert_loads(
            test,
            &[("NCLOUD_PROFILE", "project"), (name, value)],
            &expected,
        );
    }
    home.assert_loads(test, &[ours[0], ours[1], ("NCLOUD_PROFILE", "")], OURS);
}
