//! What a call sends and what it returns: any type that becomes a body, and any type that a reply becomes.

use super::error::CallError;
#[cfg(feature = "json")]
use crate::protocol::body::Json;
use crate::protocol::body::{Bytes, Text};
use crate::protocol::{Reply, Status};
#[cfg(feature = "json")]
use serde::{Deserialize, Serialize};

/// The body of a request: [`Json`], [`Text`], [`Bytes`], or what is as good as text or bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the body of a request",
    note = "a body is `Json(value)`, `Text`, `Bytes`, `&str`, `String`, `&[u8]` or `Vec<u8>`"
)]
pub trait IntoBody {
    /// The bytes, and their MIME type.
    fn into_body(self) -> Result<(Vec<u8>, &'static str), Status>;
}

#[cfg(feature = "json")]
impl<T: Serialize> IntoBody for Json<T> {
    fn into_body(self) -> Result<(Vec<u8>, &'static str), Status> {
        Ok((self.write()?, Self::CONTENT_TYPE))
    }
}

impl IntoBody for Text {
    fn into_body(self) -> Result<(Vec<u8>, &'static str), Status> {
        Ok((self.0.into_bytes(), Self::CONTENT_TYPE))
    }
}

impl IntoBody for Bytes {
    fn into_body(self) -> Result<(Vec<u8>, &'static str), Status> {
        Ok((self.0, Self::CONTENT_TYPE))
    }
}

impl IntoBody for String {
    fn into_body(self) -> Result<(Vec<u8>, &'static str), Status> {
        Text(self).into_body()
    }
}

impl IntoBody for &str {
    fn into_body(self) -> Result<(Vec<u8>, &'static str), Status> {
        self.to_owned().into_body()
    }
}

impl IntoBody for Vec<u8> {
    fn into_body(self) -> Result<(Vec<u8>, &'static str), Status> {
        Bytes(self).into_body()
    }
}

impl IntoBody for &[u8] {
    fn into_body(self) -> Result<(Vec<u8>, &'static str), Status> {
        self.to_vec().into_body()
    }
}

/// What a call returns: [`Json`], [`Text`], [`Bytes`], [`Reply`], or a type of your own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not made of a reply",
    note = "a call returns `Json<T>`, `Text`, `Bytes` or `Reply`"
)]
pub trait FromReply: Sized {
    /// Makes it from a reply that is no error; see [`CallError::unexpected`] for what it cannot be made of.
    fn from_reply(reply: Reply) -> Result<Self, CallError>;
}

impl FromReply for Reply {
    fn from_reply(reply: Reply) -> Result<Self, CallError> {
        Ok(reply)
    }
}

/// Whatever its `content_type`.
#[cfg(feature = "json")]
impl<T: for<'de> Deserialize<'de>> FromReply for Json<T> {
    fn from_reply(reply: Reply) -> Result<Self, CallError> {
        match reply.json() {
            Ok(value) => Ok(Self(value)),
            Err(status) => Err(CallError::of_server(status, reply.trailer)),
        }
    }
}

impl FromReply for Text {
    fn from_reply(mut reply: Reply) -> Result<Self, CallError> {
        match String::from_utf8(std::mem::take(&mut reply.body)) {
            Ok(text) => Ok(Self(text)),
            Err(error) => {
                reply.body = error.into_bytes();
                Err(CallError::unexpected(reply, "is not UTF-8"))
            }
        }
    }
}

impl FromReply for Bytes {
    fn from_reply(reply: Reply) -> Result<Self, CallError> {
        Ok(Self(reply.body))
    }
}

#[cfg(feature = "json")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;
    use crate::protocol::reply_value::Trailer;
    use std::time::Duration;

    fn reply(body: &[u8], content_type: Option<&str>) -> Reply {
        Reply {
            body: body.into(),
            content_type: content_type.map(|name| name.to_owned().into()),
            trailer: Trailer {
                server: Some("blue".into()),
                ..Trailer::default()
            },
            round_trip: Some(Duration::from_millis(2)),
        }
    }

    #[test]
    fn bodies_have_their_content_types() {
        let json = Json(vec![1, 2]).into_body();
        assert_eq!(json, Ok((b"[1,2]".to_vec(), "application/json")));
        let text = Ok((b"a".to_vec(), "text/plain"));
        assert_eq!(Text("a".into()).into_body(), text);
        assert_eq!("a".into_body(), text);
        assert_eq!("a".to_owned().into_body(), text);
        let bytes = Ok((b"a".to_vec(), "application/octet-stream"));
        assert_eq!(Bytes(b"a".to_vec()).into_body(), bytes);
        assert_eq!(b"a".to_vec().into_body(), bytes);
        assert_eq!(b"a".as_slice().into_body(), bytes);
    }

    #[test]
    fn replies_are_read_and_what_they_are_not_is_shown() {
        let json = Some("application/json");
        assert_eq!(Json::from_reply(reply(b"7", json)), Ok(Json(7)));
        assert_eq!(Json::from_reply(reply(b"7", None)), Ok(Json(7)));
        let text = Text::from_reply(reply("π".as_bytes(), None));
        assert_eq!(text, Ok(Text("π".into())));
        let bytes = Bytes::from_reply(reply(&[0xff], json));
        assert_eq!(bytes, Ok(Bytes(vec![0xff])));
        for (error, message) in [
            (
                Json::<u8>::from_reply(reply(b"\"7\\u001b\"", json)).unwrap_err(),
                "the reply is not the expected JSON: invalid type: string \"7\\u{1b}\", expected u8 at line 1 column 9; got application/json, `\"7\\u001b\"`",
            ),
            (
                Text::from_reply(reply(&[b'a', 0xff], None)).unwrap_err(),
                "the reply is not UTF-8; got no content type, `a\u{fffd}`",
            ),
        ] {
            assert_eq!(error.status().message(), message);
            assert_eq!(
                (error.code(), error.server()),
                (Code::Unknown, Some("blue"))
            );
            assert!(error.is_from_server());
        }
    }
}
