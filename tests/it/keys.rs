//! Keys: where they come from, what is refused, and that they never show.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ncloud_container_registry::{Client, Credentials, ErrorKind, Region};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY};
use crate::{builder, child, credentials, if_child};

#[test]
fn signatures_are_those_of_the_vectors() {
    let long =
        "a-secret-key-that-is-longer-than-the-64-bytes-of-one-SHA-256-block,so-HMAC-hashes-it";
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
            "PZ0Dw2SMu9HRTVI4peapoqje/NxBkraaR65ae51OOQY=",
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
                (error.attempts(), error.may_have_been_deleted()),
                (0, false)
            );
            assert!(!format!("{error} {error:?}").contains(SECRET_KEY));
            error.to_string()
        }
    }
}

const OURS: &str = "AKTEST0123456789abcd true";

#[track_caller]
fn unusable(key: &str, why: &str) {
    let text = describe(Credentials::new(key, SECRET_KEY));
    assert_eq!(text, format!("unusable access key: {why}"));
    let text = describe(Credentials::new(ACCESS_KEY, key));
    assert_eq!(text, format!("unusable secret key: {why}"));
}

#[test]
fn a_key_that_cannot_be_right_is_refused() {
    unusable("", "it is empty");
    unusable(&"k".repeat(4097), "it is longer than 4096 characters");
    for key in ["\"AK\"", "'AK'", "\"AK\" # deploy", "AK\"", "A'K"] {
        unusable(
            key,
            "it contains a quotation mark; remove the quotes around it",
        );
    }
    for key in [
        " ",
        " k",
        "k ",
        "k\n",
        "\tk",
        "a\r\nx: y",
        "AK # deploy",
        "AK ; deploy",
        "k\u{a0}",
    ] {
        unusable(
            key,
            "it contains whitespace; remove it, and any comment after the key",
        );
    }
    for key in [
        "a\0b",
        "k\u{fffd}",
        "키",
        "\u{feff}k",
        "k\u{7f}",
        "“AK”",
        "k\u{200b}",
    ] {
        unusable(
            key,
            "it contains a character that is not printable ASCII; copy it again",
        );
    }
    // Anything else is for the service to judge.
    Credentials::new(&"k".repeat(4096), &"k".repeat(4096)).unwrap();
    for key in ["a", "a=b:c,d", "~!#$%^&*()", "a#b;c[d]"] {
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
fn profile(content: impl AsRef<[u8]>, profile: &str, expected: &str) {
    let file = TempFile::new(&content);
    let described = describe(Credentials::from_profile(&file.0, profile));
    let described = described.replace(&*file.0.to_string_lossy(), "PATH");
    let content = String::from_utf8_lossy(content.as_ref());
    assert_eq!(described, expected, "[{profile}] of {content:?}");
}

/// What comes of a file, by both ways to its default section.
#[track_caller]
fn file(content: impl AsRef<[u8]>, expected: &str) {
    profile(&content, "DEFAULT", expected);
    let file = TempFile::new(content);
    let described = describe(Credentials::from_file(&file.0));
    assert_eq!(
        described.replace(&*file.0.to_string_lossy(), "PATH"),
        expected
    );
}

const EMPTY_PROFILE: &str =
    "no keys: the profile is empty; name a section, or unset NCLOUD_PROFILE";

/// Two lines with both keys.
fn pair(of: &str) -> String {
    format!("ncloud_access_key_id = {of}\nncloud_secret_access_key = {of}\n")
}

#[test]
fn a_file_is_read_as_the_vendors_tools_write_it() {
    let access = format!("ncloud_access_key_id = {ACCESS_KEY}");
    let secret = format!("ncloud_secret_access_key = {SECRET_KEY}");
    let other = pair("OTHER");
    file(format!("{access}\n{secret}\n"), OURS);
    file(format!("{secret}\n{access}"), OURS);
    file(format!("{access}\r\n{secret}\r\n"), OURS);
    file(format!("\u{feff}{access}\n{secret}\n"), OURS);
    file(
        format!(
            "  ncloud_access_key_id=\t{ACCESS_KEY} \n\tncloud_secret_access_key  ={SECRET_KEY}\t\n"
        ),
        OURS,
    );
    file(
        format!("# keys = here\n[DEFAULT]\n{access}\n\n#{access}\nncloud_api_url = x\n{secret}\n"),
        OURS,
    );
    file(
        format!("[first]\n{other}[DEFAULT]\n{access}\n{secret}\n[last]\n{other}"),
        OURS,
    );
    file(
        format!("[first]\n{other}[default]\n{access}\n{secret}\n"),
        OURS,
    );
    file(
        format!("{access}\n[first]\n{other}[DEFAULT]\n{secret}\n"),
        OURS,
    );
    file(format!("no setting\n=\n= x\n{access}\n{secret}"), OURS);
    file(
        format!("[first]\n{other} [ Default ] # mine\n{access}\n{secret}\n"),
        OURS,
    );
    // A comment in CP949, the encoding of Korean Windows.
    file(
        [b"# \xb9\xe8\xc6\xf7\n", pair("K").as_bytes()].concat(),
        "K false",
    );

    let file = TempFile::new(format!("{access}\nncloud_secret_access_key = a=b==\n"));
    let from_file = Credentials::from_file(&file.0).unwrap();
    let expected = Credentials::new(ACCESS_KEY, "a=b==").unwrap();
    assert_eq!(from_file.sign("M", "/", 0), expected.sign("M", "/", 0));
}

#[test]
fn a_profile_is_a_section() {
    let text = format!(
        "{}[project]\n{}[ Stage ] # x\n{}",
        pair("D"),
        pair("P"),
        pair("S")
    );
    profile(&text, "project", "P false");
    profile(&text, "PROJECT", "P false");
    profile(&text, "stage", "S false");
    profile(&text, "DEFAULT", "D false");
    profile(&text, "default", "D false");
    let text = format!(
        "[a]\n{}[b]\n{}[a]\nncloud_region = KR",
        pair("A"),
        pair("B")
    );
    profile(&text, "a", "A false");
    // It is not for this crate to point at another account.
    let missing = "no access key under [test]: set ncloud_access_key_id there (in PATH)";
    profile(&text, "test", missing);
    let missing = "no access key under [x]: set ncloud_access_key_id there (in PATH)";
    profile("", "x", missing);
    let empty = EMPTY_PROFILE;
    profile(&text, "", empty);
    profile(format!("[]\n{}", pair("E")), "", empty);
}

#[test]
fn keys_that_nobody_pointed_at_are_not_used() {
    let (access, secret) = ("ncloud_access_key_id", "ncloud_secret_access_key");
    let prod = format!("[prod]\n{}", pair("P"));
    let no_access = "no access key under [DEFAULT]: set ncloud_access_key_id there (in PATH)";
    let no_secret = "no secret key under [DEFAULT]: set ncloud_secret_access_key there (in PATH)";
    let under = |what, section| {
        format!(
            "no {what} key under [DEFAULT], but under [{section}]: to use that section, set \
             NCLOUD_PROFILE={section} (in code: from_profile) (in PATH)"
        )
    };
    let under_prod = under("access", "prod");

    file("", no_access);
    file(format!("{secret} = s"), no_access);
    file(format!("{access} =\n{secret} = s"), no_access);
    file(format!("{access} = a"), no_secret);
    file(format!("{access} = a\n{secret} = \n"), no_secret);
    // An empty template points at no section.
    file(
        format!("[DEFAULT]\n{access} =\n{secret} =\n[project]\n{access} =\n{secret} =\n"),
        no_access,
    );
    // A default section without keys does not hand over to another account.
    file(&prod, &under_prod);
    file(
        format!("[DEFAULT]\n#{access} = a\n#{secret} = s\n{prod}"),
        &under_prod,
    );
    file(
        format!("[DEFAULT]\n{access}_ = a\n{secret}_ = s\n{prod}"),
        &under_prod,
    );
    file(
        format!("[DEFAULT]\n{access} =\n{secret} =\n{prod}"),
        &under_prod,
    );
    file(
        format!("{prod}[test]\n{}", pair("T")),
        "no access key under [DEFAULT], but under [prod]: to use that section, set \
         NCLOUD_PROFILE=prod (in code: from_profile) (in PATH)",
    );
    file(
        format!("[\u{1b}]\n{}", pair("T")),
        &under("access", "\\u{1b}"),
    );
    // No header either.
    file(format!("[DEFAULT\n{}", pair("T")), no_access);
    file(
        format!("[ncloud_access_key_id = X\n{}", pair("T")),
        no_access,
    );
    // No pair is put together from two sections.
    file(
        format!("{prod}[DEFAULT]\n{access} = a\n"),
        &under("secret", "prod"),
    );
    file(
        format!("[a]\n{access} = a\n[DEFAULT]\n{secret} = s"),
        &under("access", "a"),
    );
}

const NO_ACCESS_KEY: &str =
    "no access key under [DEFAULT]: set ncloud_access_key_id there (in PATH)";

/// What an editor may show as the end of a line, or not at all, or what is prose.
const HIDING: [&str; 12] = [
    "\u{a0}\u{200b}\0",
    "• ",
    "기존 ",
    "# old\r",
    "# old\u{2028}",
    "# old\u{2029}",
    "# old\u{b}",
    "# old\u{c}",
    "# old\u{85}",
    "ncloud_region = KR\u{2028}",
    "[other]\u{2028}",
    "[other]\r",
];

#[test]
fn a_header_cannot_be_hidden() {
    for hiding in HIDING {
        // A NUL byte is no text at all.
        let hiding = hiding.replace('\0', "\u{1}");
        file(format!("{hiding}[prod]\n{}", pair("P")), NO_ACCESS_KEY);
        let text = format!("[DEFAULT]\n{hiding}[prod] x\n{}", pair("P"));
        file(text, NO_ACCESS_KEY);
    }
}

#[test]
fn what_may_hide_a_header_opens_no_section() {
    for hiding in HIDING {
        let hiding = hiding.replace('\0', "\u{1}");
        let text = format!("[prod]\n{hiding}[DEFAULT] differs\n{}", pair("P"));
        file(&text, NO_ACCESS_KEY);
        profile(
            text.replace("DEFAULT", "stage"),
            "stage",
            "no access key under [stage]: set ncloud_access_key_id there (in PATH)",
        );
    }
    // Names that are not Unicode could stand for one another.
    let text = [b"[\xb0\xb3]\n", pair("O").as_bytes()].concat();
    file(&text, NO_ACCESS_KEY);
    let missing =
        "no access key under [\u{fffd}\u{fffd}]: set ncloud_access_key_id there (in PATH)";
    profile(&text, "\u{fffd}\u{fffd}", missing);
}

#[test]
fn a_comment_is_a_comment_whatever_it_begins_with() {
    for mark in [
        "#",
        "# ",
        ";",
        "//",
        "• ",
        "키 ",
        "\u{a0}",
        "\u{200b}",
        "“",
        "- ",
        "old ",
        "export ",
        "# old\r",
        "# old\u{b}",
        "# old\u{c}",
        "# old\u{85}",
        "# old\u{2028}",
    ] {
        let comment = format!("{mark}ncloud_access_key_id = OTHER\n");
        file(
            format!("{comment}ncloud_secret_access_key = s\n"),
            NO_ACCESS_KEY,
        );
        let ours = format!(
            "{comment}ncloud_access_key_id = {ACCESS_KEY}\nncloud_secret_access_key = {SECRET_KEY}"
        );
        file(ours, OURS);
    }
}

#[test]
fn a_key_that_is_given_twice_is_refused() {
    let (access, secret) = ("access", "secret");
    let twice = |what| {
        format!(
            "unusable {what} key: it is given more than once under [DEFAULT]; keep one (in PATH)"
        )
    };
    // A header that was commented out leaves two pairs in one section.
    file(
        format!("{}# [prod]\n{}", pair("D"), pair("P")),
        &twice(access),
    );
    file(
        format!("{}[DEFAULT]\n{}", pair("A"), pair("A")),
        &twice(access),
    );
    let text = format!("{}ncloud_secret_access_key = \n", pair("D"));
    file(text, &twice(secret));
    profile(
        format!("[a]\n{}[b]\n[A]\n{}", pair("A"), pair("B")),
        "a",
        "unusable access key: it is given more than once under [a]; keep one (in PATH)",
    );
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    file(
        "ncloud_access_key_id = AK # deploy\nncloud_secret_access_key = s",
        "unusable access key: it contains whitespace; remove it, and any comment after the key (in \
         PATH)",
    );
    file(
        "ncloud_access_key_id = a\nncloud_secret_access_key = \"s\"",
        "unusable secret key: it contains a quotation mark; remove the quotes around it (in PATH)",
    );
    file(
        b"ncloud_access_key_id = \xff\nncloud_secret_access_key = s",
        "unusable access key: it contains a character that is not printable ASCII; copy it again \
         (in PATH)",
    );
    let utf_16: Vec<_> = pair("K")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let no_text = "no keys: cannot read PATH: it is not text in UTF-8; is it in UTF-16?";
    file(&utf_16, no_text);
    let fill = |length: usize| pair("K") + &"#".repeat(length - pair("K").len());
    file(fill(64 * 1024), "K false");
    let too_long = "no keys: cannot read PATH: it is longer than 64 KiB";
    file(fill(64 * 1024 + 1), too_long);

    let missing = std::env::temp_dir()
        .join("ncr-no-such-folder")
        .join("configure\n");
    let cause = std::fs::read(&missing).unwrap_err();
    let shown = missing.display().to_string().replace('\n', "\\n");
    let expected = format!("no keys: cannot read {shown}: {cause}");
    assert_eq!(describe(Credentials::from_file(&missing)), expected);
    let folder = describe(Credentials::from_file(std::env::temp_dir()));
    assert!(folder.starts_with("no keys: cannot read "), "{folder}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_and_nothing_without_end() {
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
    assert_eq!(
        error,
        "no keys: cannot read /dev/zero: it is longer than 64 KiB"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

const SET_BOTH: &str = "set NCLOUD_ACCESS_KEY_ID and NCLOUD_SECRET_ACCESS_KEY";

#[test]
fn the_environment_is_read_by_every_name() {
    if_child(|| describe(Credentials::from_env()));
    #[track_caller]
    fn check(environment: &[(&str, &str)], expected: &str) {
        let described = child("keys::the_environment_is_read_by_every_name", environment);
        assert_eq!(described, expected, "{environment:?}");
    }
    let ours_by = |access, secret| [(access, ACCESS_KEY), (secret, SECRET_KEY)];
    let first = ours_by("NCLOUD_ACCESS_KEY_ID", "NCLOUD_SECRET_ACCESS_KEY");
    let second = ours_by("NCLOUD_ACCESS_KEY", "NCLOUD_SECRET_KEY");
    check(&first, OURS);
    check(&second, OURS);
    check(&ours_by("NCLOUD_ACCESS_KEY_ID", "NCLOUD_SECRET_KEY"), OURS);
    check(
        &ours_by("NCLOUD_ACCESS_KEY", "NCLOUD_SECRET_ACCESS_KEY"),
        OURS,
    );
    check(&[first, second].concat(), OURS);
    // A profile is for a file.
    check(&[&first[..], &[("NCLOUD_PROFILE", "x")]].concat(), OURS);

    let differ =
        |names| format!("unusable {names} differ, which may mean two accounts; unset one of them");
    let access = "access key: NCLOUD_ACCESS_KEY_ID and NCLOUD_ACCESS_KEY";
    let secret = "secret key: NCLOUD_SECRET_ACCESS_KEY and NCLOUD_SECRET_KEY";
    check(
        &[&first[..], &[("NCLOUD_ACCESS_KEY", "x")]].concat(),
        &differ(access),
    );
    check(
        &[&first[..], &[("NCLOUD_SECRET_KEY", "x")]].concat(),
        &differ(secret),
    );

    let empty =
        |what, name| format!("unusable {what} key: {name} is set but empty; set or unset it");
    for name in ["NCLOUD_ACCESS_KEY_ID", "NCLOUD_ACCESS_KEY"] {
        check(&[(name, "")], &empty("access", name));
        check(&[(name, ""), first[1]], &empty("access", name));
    }
    for name in ["NCLOUD_SECRET_ACCESS_KEY", "NCLOUD_SECRET_KEY"] {
        check(&[(name, ""), first[0]], &empty("secret", name));
    }
    // What a CI without its secrets sets, beside the keys of another tool.
    let emptied = [
        ("NCLOUD_ACCESS_KEY_ID", ""),
        ("NCLOUD_SECRET_ACCESS_KEY", ""),
    ];
    check(
        &[emptied, second].concat(),
        &empty("access", "NCLOUD_ACCESS_KEY_ID"),
    );
    check(
        &[second[0], ("NCLOUD_SECRET_KEY", ""), first[0], first[1]],
        &empty("secret", "NCLOUD_SECRET_KEY"),
    );

    check(&[], &format!("no access key: {SET_BOTH}"));
    let half = |what, set, unset| {
        format!(
            "no {what} key: {set} is set, but {unset} is not; set both (the key file is not \
             read if either is set)"
        )
    };
    for (name, value) in [first[0], second[0]] {
        let expected = half("secret", name, "NCLOUD_SECRET_ACCESS_KEY");
        check(&[(name, value)], &expected);
    }
    for (name, value) in [first[1], second[1]] {
        let expected = half("access", name, "NCLOUD_ACCESS_KEY_ID");
        check(&[(name, value)], &expected);
    }
    check(
        &[("NCLOUD_ACCESS_KEY_ID", "\"AK\""), first[1]],
        "unusable access key: it contains a quotation mark; remove the quotes around it (in the \
         environment)",
    );
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
        let expected = format!(
            "unusable {which} key: it contains a character that is not printable ASCII; copy it \
             again (in the environment)"
        );
        assert_eq!(child(name, &environment), expected);
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
    fn run(&self, test: &str, environment: &[(&str, &str)], expected: &str) {
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
fn the_environment_comes_before_the_file() {
    if_child(|| describe(Credentials::load()));
    let test = "keys::the_environment_comes_before_the_file";
    let home = Home::new("home");
    let ours = [
        ("NCLOUD_ACCESS_KEY", ACCESS_KEY),
        ("NCLOUD_SECRET_KEY", SECRET_KEY),
    ];

    home.run(test, &[], &format!("no keys: {SET_BOTH}, or create PATH"));
    let described = child(
        test,
        &[("NCLOUD_PROFILE", "x"), (HOME, home.0.to_str().unwrap())],
    );
    assert!(
        described.starts_with("no keys: cannot read "),
        "{described}"
    );
    home.write(&pair("F"));
    home.run(test, &[], "F false");
    home.run(test, &ours, OURS);
    // A variable that is set, even if empty, points at the environment.
    let names = ["NCLOUD_ACCESS_KEY_ID", "NCLOUD_ACCESS_KEY"];
    for name in names
        .into_iter()
        .chain(["NCLOUD_SECRET_ACCESS_KEY", "NCLOUD_SECRET_KEY"])
    {
        for value in ["", "x"] {
            let described = child(test, &[(name, value), (HOME, home.0.to_str().unwrap())]);
            let is_told = described.contains(&format!(" key: {name} is set"));
            assert!(is_told, "{name}={value}: {described}");
        }
    }

    let odd_home = child(test, &[(HOME, "/no\nhome")]);
    assert!(odd_home.contains("or create /no\\nhome"), "{odd_home}");
    let homeless = child(test, &[(HOME, "")]);
    assert_eq!(homeless, format!("no keys: {SET_BOTH}"));
}

#[test]
fn the_profile_of_the_environment_picks_the_section() {
    if_child(|| describe(Credentials::load()));
    let test = "keys::the_profile_of_the_environment_picks_the_section";
    let home = Home::new("profile");
    home.write(&format!("[DEFAULT]\n{}[project]\n{}", pair("D"), pair("P")));
    home.run(test, &[], "D false");
    home.run(test, &[("NCLOUD_PROFILE", "project")], "P false");
    home.run(test, &[("NCLOUD_PROFILE", "Default")], "D false");
    home.run(
        test,
        &[("NCLOUD_PROFILE", "stage")],
        "no access key under [stage]: set ncloud_access_key_id there (in PATH)",
    );
    home.run(test, &[("NCLOUD_PROFILE", "")], EMPTY_PROFILE);
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
        home.run(
            test,
            &[("NCLOUD_PROFILE", "project"), (name, value)],
            &format!(
                "unusable keys: NCLOUD_PROFILE and {name} are both set, which may mean two accounts; \
                 unset one of them"
            ),
        );
    }
    home.run(test, &[ours[0], ours[1], ("NCLOUD_PROFILE", "")], OURS);
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let gateway = Gateway::with(&[]);
    let builder = builder(&gateway);
    let client = builder.clone().build().unwrap();
    let request = client.sign_delete_image("r", "i").unwrap();
    let error = client.delete_image("r", "i").unwrap_err();
    let shown = format!(
        "{:?} {:#?} {builder:?} {builder:#?} {client:?} {client:#?} {request:?} {request:#?} \
         {error:?} {error:#?} {error} {:?} {:?}",
        credentials(),
        credentials(),
        error.kind(),
        Region::Korea,
    );
    assert!(!shown.contains(SECRET_KEY) && !shown.contains(ACCESS_KEY));
    assert_eq!(
        format!("{:?}", credentials()),
        "Credentials { access_key: \"...abcd\", .. }"
    );
    assert_eq!(
        format!("{client:?}"),
        format!(
            "Client {{ api_url: \"{}\", credentials: Credentials {{ access_key: \"...abcd\", .. \
             }}, timeout: 60s, max_attempts: 3, .. }}",
            gateway.url(),
        )
    );
    let builder = Client::builder("https://user:password@example.com", credentials());
    assert_eq!(format!("{builder:?}"), "ClientBuilder { .. }");
}

#[test]
fn types_can_cross_threads_and_be_boxed() {
    fn is_shareable<T: Clone + Send + Sync + 'static>() {}
    fn is_error<T: std::error::Error + Send + Sync + 'static>() {}
    is_shareable::<Client>();
    is_shareable::<Credentials>();
    is_shareable::<ncloud_container_registry::ClientBuilder>();
    is_shareable::<Region>();
    is_shareable::<ErrorKind>();
    is_error::<ncloud_container_registry::Error>();
}
