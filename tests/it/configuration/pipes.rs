//! Pipes and descriptors instead of files, as a shell passes them; an address with a zone.

use super::{FIBRPC, FIBRPCD, command, folder, seen};

#[test]
fn pipes_and_descriptors_are_files() {
    let folder = folder(&[
        ("c.toml", "queue.name = \"jobs\"\n"),
        ("password", "secret\n"),
        (
            "with-password.toml",
            "[broker]\nurl = \"amqp://u@h\"\npassword_file = \"/dev/fd/3\"\n",
        ),
    ]);
    let shell = |script: &str| {
        let mut command = command("bash", &folder, &["-c", script]);
        command
            .env("PATH", "/usr/bin:/bin")
            .env("fibrpc", FIBRPC)
            .env("fibrpcd", FIBRPCD);
        seen(&folder, &command.output().unwrap())
    };
    for script in [
        "$fibrpc --config <(cat c.toml) config show",
        "$fibrpc --config <(sleep 0.3; cat c.toml) config show",
        "cat c.toml | $fibrpc --config /dev/stdin config show",
        "$fibrpc --config /dev/stdin config show <c.toml",
        "$fibrpc --config /dev/fd/3 config show 3<c.toml",
        "$fibrpc --config /dev/fd/3 config show 3<<<'queue.name = \"jobs\"'",
        "FIBRPC_CONFIG=/dev/fd/3 $fibrpc config show 3< <(cat c.toml)",
    ] {
        let (code, shown, said) = shell(script);
        assert_eq!((code, said.as_str()), (Some(0), ""), "{script}");
        assert!(
            shown.contains("name = \"jobs\"  # /dev/"),
            "{script}: {shown}"
        );
    }
    // A check by the client reads everything twice.
    for script in [
        "$fibrpcd --check --config <(cat c.toml)",
        "$fibrpc config check --config <(cat c.toml)",
        "$fibrpcd --check --config with-password.toml 3< <(cat password)",
        "$fibrpc config check --config with-password.toml 3< <(cat password)",
        "$fibrpc config check --config with-password.toml 3<password",
    ] {
        let (code, shown, said) = shell(script);
        assert_eq!(code, Some(0), "{script}: {said}");
        assert!(
            (shown + &said).contains("configuration is good: "),
            "{script}: {said}"
        );
    }
    for (script, words) in [
        (
            "$fibrpc --config - 30",
            "cannot read -: no such file; write /dev/stdin",
        ),
        (
            "$fibrpc --config <(cat gone 2>/dev/null) 30",
            "is a pipe, and no data arrived; ",
        ),
        (
            "mkfifo fifo; $fibrpc --config fifo 30",
            "no data arrived within 5s; ",
        ),
        (
            "mkfifo fifo2; $fibrpcd --config fifo2",
            "no data arrived within 5s; ",
        ),
    ] {
        let (code, _, said) = shell(script);
        assert_eq!(code, Some(78), "{script}: {said}");
        assert!(said.contains(words), "{script}: {said}");
    }
}

/// Nothing listens there, and perhaps there is no IPv6; but the address is one, and is looked up with its zone.
#[test]
fn an_address_with_a_zone_is_an_address() {
    let folder = folder(&[]);
    for url in ["amqp://[fe80::1%25lo]:1", "amqps://[fe80::1%lo]:1"] {
        let mut command = command(FIBRPC, &folder, &["30"]);
        let (code, _, said) = seen(
            &folder,
            &command.env("FIBRPC_BROKER__URL", url).output().unwrap(),
        );
        assert_eq!(code, Some(69), "{said}");
        assert!(
            said.starts_with("fibrpc: cannot reach broker [fe80::1%lo]:1: "),
            "{said}"
        );
    }
}
