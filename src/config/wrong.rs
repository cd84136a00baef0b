//! What can be wrong with a value, and what to do: one line for each text that is always the same. Pure.

/// What is wrong, as it reads after the key; and what to do.
pub(super) type Refusal = (&'static str, &'static str);

/// Refuses a value unless it is right.
pub(super) fn ensure(is_right: bool, refusal: Refusal) -> Result<(), Refusal> {
    if is_right { Ok(()) } else { Err(refusal) }
}

/// Values of any kind.
#[rustfmt::skip]
pub(super) mod value {
    pub const QUOTES: (&str, &str) = ("contains quotes", "remove them");
    pub const BRACKETS: (&str, &str) = ("contains brackets", "write the entries separated by commas, without brackets and quotes");
    pub const BLANK: (&str, &str) = ("starts or ends with a blank", "remove it");
    pub const NUMBER: (&str, &str) = ("must be a whole number", "write digits, without quotes");
    pub const SIZE: (&str, &str) = ("must be a size", SIZE_HELP);
    pub const SIZE_HELP: &str = "write for example \"16MiB\"; units are B, KiB, MiB, GiB";
    pub const SWITCH: (&str, &str) = ("must be true or false", "write it without quotes");
    pub const STRING: (&str, &str) = ("must be a string", "write it in double quotes");
    pub const CONTROL: (&str, &str) = ("must not contain control characters", "remove them");
    pub const EMPTY_NAME: (&str, &str) = ("must not be empty", "write for example \"rpc_queue\"");
    pub const RESERVED: (&str, &str) = ("must not start with amq.", "the broker reserves these; rename it");
    pub const HOST: (&str, &str) = ("must be a host name", "write the name in the certificate, or remove the key");
    pub const NAMES: (&str, &str) = ("must be a list of strings", "write for example [\"replies.*\"]");
    pub const EMPTY_ENTRY: (&str, &str) = ("has an empty entry", "remove it");
    pub const NO_URL: (&str, &str) = ("must name at least one broker", URLS_HELP);
    pub const URLS: (&str, &str) = ("must be a URL or a list of URLs", URLS_HELP);
    const URLS_HELP: &str = "write for example \"amqp://user@host:5672/vhost\", or a list of such URLs";
    pub const URL: (&str, &str) = ("must be a URL", "write \"amqp://...\"");
    pub const SHARE: (&str, &str) = ("must be a number from 0 to 1", "write for example 0.1, without quotes");
}

/// URLs of brokers.
#[rustfmt::skip]
pub(super) mod url {
    const EXAMPLE: &str = "write for example \"amqp://user:password@host:5672/vhost\"";

    pub const EMPTY: (&str, &str) = ("is empty", EXAMPLE);
    pub const CHARACTER: (&str, &str) = ("contains a character that is not allowed in a URL", "percent-encode it, a space is %20");
    pub const NO_SCHEME: (&str, &str) = ("has no scheme", EXAMPLE);
    pub const QUERY: (&str, &str) = ("contains a `?`, but query parameters are not supported", "remove them; in a password or vhost write %3f");
    pub const COLONS: (&str, &str) = ("has more than one `:` in host and port", "write an IPv6 address in brackets, and user and password before an `@`");
    pub const NO_HOST: (&str, &str) = ("has no host", EXAMPLE);
    pub const HOST: (&str, &str) = ("has a bad host name", "write letters, digits, `-`, `.` and `_` only");
    pub const PORT: (&str, &str) = ("has a bad port", "write a number from 1 to 65535");
    pub const NOT_A_PORT: (&str, &str) = ("has a bad port", "write a number from 1 to 65535, and user and password before an `@`");
    pub const BRACKET: (&str, &str) = ("has a `[` without a `]`", "write IPv6 as [::1]:5672");
    pub const IPV6: (&str, &str) = ("has no IPv6 address between its brackets", "write for example [::1]:5672");
    pub const NO_ZONE: (&str, &str) = ("has a link-local address without its interface", "write for example [fe80::1%25eth0]");
    pub const ZONE: (&str, &str) = ("has a bad zone after its IPv6 address", "write an interface's name or number, for example [fe80::1%25eth0]");
    pub const NO_USER: (&str, &str) = ("has an empty user name", "write one before the `@`, or remove the `@`");
    pub const NO_VHOST: (&str, &str) = ("ends with `/`, which means the empty vhost", "remove that `/`, or write /%2f for the default vhost");
    pub const SLASH: (&str, &str) = ("has a raw `/` in the vhost", "write %2f for it, the default vhost is /%2f");
    pub const LONG_VHOST: (&str, &str) = ("has a vhost longer than 255 bytes", "shorten it");
    pub const PERCENT: (&str, &str) = ("has a `%` without two hex digits", "write %25 for a plain `%`");
    pub const NOT_UTF8: (&str, &str) = ("has percent codes that are not UTF-8", "encode the UTF-8 bytes of each character");
    pub const NUL: (&str, &str) = ("contains a NUL (%00)", "remove it");
}

/// Addresses of collectors.
#[rustfmt::skip]
pub(super) mod collector {
    const EXAMPLE: &str = "write for example \"http://127.0.0.1:4318\"";

    pub const CHARACTER: (&str, &str) = ("contains a character that is not allowed in a URL", EXAMPLE);
    pub const SCHEME: (&str, &str) = ("must start with http:// or https://", EXAMPLE);
    pub const QUERY: (&str, &str) = ("contains a `?` or `#`", "remove it and what follows");
    pub const USER: (&str, &str) = ("contains an `@`, but a user and a password are not supported", "remove them, and set OTEL_EXPORTER_OTLP_HEADERS");
    pub const IPV6: (&str, &str) = ("has no IPv6 address between its brackets", "write for example [::1]:4318");
    pub const HOST: (&str, &str) = ("has a bad host name", EXAMPLE);
    pub const PORT: (&str, &str) = ("has a bad port", "write a number from 1 to 65535");
}

/// Addresses to listen at.
#[rustfmt::skip]
pub(super) mod listen {
    const EXAMPLES: &str = "write for example \"127.0.0.1:9464\", \"[::1]:9464\" or \"unix:/PATH\"";
    const ADDRESS: &str = "must be an IP address with a port, or unix: and a path";

    pub const NO_PORT: (&str, &str) = ("has no port", EXAMPLES);
    pub const PORT_ZERO: (&str, &str) = ("must have a port from 1 to 65535", EXAMPLES);
    pub const NO_ADDRESS: (&str, &str) = ("has no address", "write for example \"127.0.0.1:9464\", or \"[::]:9464\" for all addresses of this machine");
    pub const URL: (&str, &str) = (ADDRESS, "write only address and port, for example \"127.0.0.1:9464\"");
    pub const NO_UNIX: (&str, &str) = (ADDRESS, "write \"unix:\" before the path of a socket");
    pub const LOCALHOST: (&str, &str) = (ADDRESS, "write \"127.0.0.1:9464\" or \"[::1]:9464\"");
    pub const OTHER: (&str, &str) = (ADDRESS, EXAMPLES);
    pub const SOCKET: (&str, &str) = ("must be unix: and the absolute path of a socket", "write for example \"unix:/run/NAME/telemetry.sock\"");
}
