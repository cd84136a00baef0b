//! Typed bodies of requests and replies: JSON, text, and bytes as they are. Pure.

use super::status::Status;
#[cfg(feature = "json")]
use serde::{Deserialize, Serialize};

/// A JSON body.
#[cfg(feature = "json")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// A body of UTF-8 text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(pub String);

/// A body as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

#[cfg(feature = "json")]
impl<T: for<'de> Deserialize<'de>> Json<T> {
    /// Reads a body, whatever its `content_type`: not every client sets one.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`, with the place and the cause.
    pub fn read(body: &[u8]) -> Result<Self, Status> {
        serde_json::from_slice(body).map(Self).map_err(|error| {
            Status::invalid_argument(format!("the body is not the expected JSON: {error}"))
        })
    }
}

#[cfg(feature = "json")]
impl<T: Serialize> Json<T> {
    /// The content type of JSON.
    pub const CONTENT_TYPE: &str = "application/json";

    /// Writes a body.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the value cannot be written as JSON, such as a map whose keys are not texts.
    pub fn write(&self) -> Result<Vec<u8>, Status> {
        serde_json::to_vec(&self.0).map_err(|error| {
            Status::internal(format!("a value cannot be written as JSON: {error}"))
        })
    }
}

impl Text {
    /// The content type of text.
    pub const CONTENT_TYPE: &str = "text/plain";

    /// Reads a body, which is not copied.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it is not UTF-8.
    pub fn read(body: Vec<u8>) -> Result<Self, Status> {
        let text = String::from_utf8(body).map(Self);
        text.map_err(|_| Status::invalid_argument("the body is not UTF-8"))
    }
}

impl Bytes {
    /// The content type of bytes.
    pub const CONTENT_TYPE: &str = "application/octet-stream";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;
    #[cfg(feature = "json")]
    use std::collections::HashMap;

    #[cfg(feature = "json")]
    #[test]
    fn json_is_read_and_written() {
        let read = Json::<Vec<u8>>::read(b" [1, 2]").unwrap();
        assert_eq!(read, Json(vec![1, 2]));
        assert_eq!(read.write().unwrap(), b"[1,2]");
        let refused = Json::<Vec<u8>>::read(b"[1, 256]").unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        for words in ["256", "line 1 column 7"] {
            assert!(refused.message().contains(words), "{refused}");
        }
        let odd = HashMap::from([(vec![1], 2)]);
        assert_eq!(Json(odd).write().unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn text_is_utf_8() {
        assert_eq!(Text::read("π".into()), Ok(Text("π".into())));
        let refused = Text::read(vec![0xff]).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}
