//! Guesses what recovered bytes are, so that a client can name and show them.

/// First bytes that settle the matter.
const SIGNATURES: [(&[u8], &str); 10] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    // An archive without a file in it.
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
];

/// The media type of `bytes`, from their content alone. What cannot be told is
/// `application/octet-stream`; printable UTF-8 is `text/plain`, or `application/json`
/// where it parses as an object or array.
pub fn sniff_mime(bytes: &[u8]) -> &'static str {
    for (signature, mime) in SIGNATURES {
        if bytes.starts_with(signature) {
            return mime;
        }
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return "image/webp";
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if is_printable(text) && looks_like_json(text) => "application/json",
        Ok(text) if is_printable(text) => "text/plain; charset=utf-8",
        Ok(_) | Err(_) => "application/octet-stream",
    }
}

fn is_printable(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

fn looks_like_json(text: &str) -> bool {
    // A bare number or word is JSON too, but who sent it meant text.
    text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides() {
        let cases: [(&[u8], &str); 12] = [
            (b"\x89PNG\r\n\x1a\n....", "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"GIF89a...", "image/gif"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
            (b"%PDF-1.7", "application/pdf"),
            (b"PK\x03\x04", "application/zip"),
            (b"\x1f\x8b\x08\0", "application/gzip"),
            (b" {\"a\": [1]}\n", "application/json"),
            (b"{not json}", "text/plain; charset=utf-8"),
            ("Gr\u{fc}\u{df}e,\n\tWelt".as_bytes(), "text/plain; charset=utf-8"),
            (b"with a \0 in it", "application/octet-stream"),
            (b"", "application/octet-stream"),
        ];
        for (bytes, mime) in cases {
            assert_eq!(sniff_mime(bytes), mime, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
