//! Forms as browsers send them.

/// Of a form: its name, what the file is called (empty where it is none), what is in it.
pub type Field<'a> = (&'a str, &'a str, &'a [u8]);

/// `fields` as multipart/form-data (RFC 7578): the content type, and the body.
pub fn multipart(fields: &[Field<'_>]) -> (String, Vec<u8>) {
    const BOUNDARY: &str = "stegcluster-test-boundary-7d1c0a";
    let mut body = Vec::new();
    for (name, filename, value) in fields {
        let filename =
            if filename.is_empty() { String::new() } else { format!("; filename=\"{filename}\"") };
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
