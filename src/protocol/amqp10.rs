//! The parts of AMQP 1.0 messages that brokers pass on unconverted: reply addresses, and bodies that are values. Pure.

/// The property `type` of a message whose body is an encoded section of AMQP 1.0.
pub(super) const KIND: &str = "amqp-1.0";

/// The prefixes of queue addresses: RabbitMQ's address format version 2 (4.0 and later), then version 1.
const QUEUE_ADDRESSES: [&str; 3] = ["/queues/", "/queue/", "/amq/queue/"];

/// The name of the queue in a queue address: what follows the prefix, percent-decoded to any bytes. `None`: not a
/// queue address; the text is a plain name.
pub(super) fn queue(address: &str) -> Option<Vec<u8>> {
    let mut prefixes = QUEUE_ADDRESSES.iter();
    let encoded = prefixes.find_map(|prefix| address.strip_prefix(prefix))?;
    percent_decoded(encoded).filter(|name| !name.is_empty())
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

/// The content of a body that is a single amqp-value section (AMQP 1.0, parts 1.6 and 3.2.8): the bytes of a string,
/// symbol or binary, or an integer in decimal. `None`: anything else.
pub(super) fn value(body: &[u8]) -> Option<Vec<u8>> {
    // A described type with descriptor 0x77, encoded as smallulong or ulong.
    let value = body
        .strip_prefix(b"\x00\x53\x77")
        .or_else(|| body.strip_prefix(b"\x00\x80\0\0\0\0\0\0\0\x77"))?;
    let (&constructor, rest) = value.split_first()?;
    let integer = |value: i128| Some(value.to_string().into_bytes());
    match constructor {
        0xa0 | 0xa1 | 0xa3 => {
            let (&length, bytes) = rest.split_first()?;
            (bytes.len() == usize::from(length)).then(|| bytes.to_vec())
        }
        0xb0 | 0xb1 | 0xb3 => {
            let (length, bytes) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            (bytes.len() == length).then(|| bytes.to_vec())
        }
        0x43 | 0x44 => rest.is_empty().then(|| b"0".to_vec()),
        0x50 | 0x52 | 0x53 => integer(u8::from_be_bytes(rest.try_into().ok()?).into()),
        0x60 => integer(u16::from_be_bytes(rest.try_into().ok()?).into()),
        0x70 => integer(u32::from_be_bytes(rest.try_into().ok()?).into()),
        0x80 => integer(u64::from_be_bytes(rest.try_into().ok()?).into()),
        0x51 | 0x54 | 0x55 => integer(i8::from_be_bytes(rest.try_into().ok()?).into()),
        0x61 => integer(i16::from_be_bytes(rest.try_into().ok()?).into()),
        0x71 => integer(i32::from_be_bytes(rest.try_into().ok()?).into()),
        0x81 => integer(i64::from_be_bytes(rest.try_into().ok()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn queue_addresses_are_decoded() {
        let table: [(&str, Option<&[u8]>); 18] = [
            ("/queues/amq.gen-x", Some(b"amq.gen-x")),
            ("/queue/amq.gen-x", Some(b"amq.gen-x")),
            ("/amq/queue/amq.gen-x", Some(b"amq.gen-x")),
            ("/queues/amq.gen%2Dx", Some(b"amq.gen-x")),
            ("/queues/%61%6D%71", Some(b"amq")),
            ("/queues/%c3%BC", Some("ü".as_bytes())),
            ("/queues/%FF", Some(b"\xff")),
            ("/queues/a+b", Some(b"a+b")),
            ("/queues/a/b", Some(b"a/b")),
            ("/queues/%2525", Some(b"%25")),
            ("/queues/%2", None),
            ("/queues/%", None),
            ("/queues/%zz", None),
            ("/queues/%+1", None),
            ("/queues/", None),
            ("/exchanges/amq.default/x", None),
            ("amq.gen-x", None),
            ("queues/x", None),
        ];
        for (address, expected) in table {
            assert_eq!(queue(address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn value_sections_are_decoded() {
        let max = "18446744073709551615";
        let table: [(&[u8], Option<&str>); 37] = [
            (b"\x00\x53\x77\xa1\x0230", Some("30")),
            (b"\x00\x53\x77\xa0\x0230", Some("30")),
            (b"\x00\x53\x77\xa3\x0230", Some("30")),
            (b"\x00\x53\x77\xb1\0\0\0\x0230", Some("30")),
            (b"\x00\x53\x77\xb0\0\0\0\x0230", Some("30")),
            (b"\x00\x53\x77\xb3\0\0\0\x0230", Some("30")),
            (b"\x00\x80\0\0\0\0\0\0\0\x77\xa1\x0230", Some("30")),
            (b"\x00\x53\x77\xa1\x00", Some("")),
            (b"\x00\x53\x77\x43", Some("0")),
            (b"\x00\x53\x77\x44", Some("0")),
            (b"\x00\x53\x77\x50\xff", Some("255")),
            (b"\x00\x53\x77\x51\xff", Some("-1")),
            (b"\x00\x53\x77\x52\x1e", Some("30")),
            (b"\x00\x53\x77\x53\x1e", Some("30")),
            (b"\x00\x53\x77\x54\x1e", Some("30")),
            (b"\x00\x53\x77\x55\x1e", Some("30")),
            (b"\x00\x53\x77\x60\x01\x00", Some("256")),
            (b"\x00\x53\x77\x61\xff\xfe", Some("-2")),
            (b"\x00\x53\x77\x70\0\0\0\x1e", Some("30")),
            (b"\x00\x53\x77\x71\xff\xff\xff\xfd", Some("-3")),
            (
                b"\x00\x53\x77\x80\xff\xff\xff\xff\xff\xff\xff\xff",
                Some(max),
            ),
            (b"\x00\x53\x77\x81\0\0\0\0\0\0\0\x1e", Some("30")),
            // Wrong lengths, and trailing bytes.
            (b"\x00\x53\x77\xa1\x033", None),
            (b"\x00\x53\x77\xa1\x01", None),
            (b"\x00\x53\x77\xa1", None),
            (b"\x00\x53\x77\xb1\xff\xff\xff\xff30", None),
            (b"\x00\x53\x77\xb1\0\0", None),
            (b"\x00\x53\x77\x55", None),
            (b"\x00\x53\x77\x55\x1e\x00", None),
            (b"\x00\x53\x77\x44\x00", None),
            (b"\x00\x53\x77\x81\x1e", None),
            // Null, double, list, sequence section, data section, empty body.
            (b"\x00\x53\x77\x40", None),
            (b"\x00\x53\x77\x82\0\0\0\0\0\0\0\0", None),
            (b"\x00\x53\x77\x45", None),
            (b"\x00\x53\x76\xd0\0\0\0\x06\0\0\0\x01\x54\x1e", None),
            (b"\x00\x53\x75\xa0\x0230", None),
            (b"", None),
        ];
        for (body, expected) in table {
            let found = value(body);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{body:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(tail: Vec<u8>, address: String) {
            let _ = value(&tail);
            let _ = value(&[b"\x00\x53\x77", &tail[..]].concat());
            let _ = queue(&format!("/queues/{address}"));
        }

        #[test]
        fn percent_encoded_names_round_trip(name: Vec<u8>) {
            let mut encoded = String::new();
            for byte in &name {
                write!(encoded, "%{byte:02x}").unwrap();
            }
            let expected = (!name.is_empty()).then_some(name);
            proptest::prop_assert_eq!(queue(&format!("/queues/{encoded}")), expected);
        }
    }
}
