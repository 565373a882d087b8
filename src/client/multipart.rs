//! `multipart/form-data` (RFC 7578), built in memory: the same bytes for every retry.

use crate::clock;

/// A form on its way.
pub(crate) struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Form {
    pub fn new() -> Self {
        // 122 random bits: no file holds them by chance.
        Self { boundary: format!("stegcluster-{}", clock::fresh_uuid().simple()), body: Vec::new() }
    }

    /// A field with bytes of any kind. Its file name is the field's: the name of a secret stays
    /// with its owner.
    pub fn file(self, name: &str, bytes: &[u8]) -> Self {
        let disposition = format!(
            "Content-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        self.part(&disposition, bytes)
    }

    pub fn text(self, name: &str, value: &str) -> Self {
        let disposition = format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        self.part(&disposition, value.as_bytes())
    }

    fn part(mut self, head: &str, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(format!("--{}\r\n{head}", self.boundary).as_bytes());
        self.body.extend_from_slice(bytes);
        self.body.extend_from_slice(b"\r\n");
        self
    }

    /// The content type and the body.
    pub fn finish(mut self) -> (String, Vec<u8>) {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        (format!("multipart/form-data; boundary={}", self.boundary), self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_written_as_the_rfc_has_it() {
        let (content_type, body) =
            Form::new().file("file", b"\r\n--\0").text("passphrase", "p").finish();
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n\r\n--\0\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"passphrase\"\r\n\r\np\r\n\
             --{boundary}--\r\n"
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}
