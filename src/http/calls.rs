//! Which methods a path takes, by the description that each node serves (`openapi.json`). `tests`
//! holds that to what is mounted.

use std::sync::LazyLock;

use http::HeaderValue;
use serde_json::Value;

use super::dashboard::description;

/// Of a described path: its parts, where one in braces stands for any, and its methods as the
/// header `Allow` lists them.
type Call = (Vec<String>, HeaderValue);

static CALLS: LazyLock<Vec<Call>> = LazyLock::new(|| {
    let description: Value = serde_json::from_str(&description()).unwrap_or_default();
    let paths = description["paths"].as_object().into_iter().flatten();
    paths
        .filter_map(|(path, calls)| {
            let methods: Vec<_> =
                calls.as_object()?.keys().map(|method| method.to_uppercase()).collect();
            let parts = parts_of(path).map(str::to_owned).collect();
            Some((parts, methods.join(", ").parse().ok()?))
        })
        .collect()
});

/// As routes take a path apart: one slash at its end says nothing.
fn parts_of(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).split('/')
}

fn stands_for(described: &[String], path: &str) -> bool {
    let is_any = |part: &str| part.starts_with('{');
    let same = |(described, part): (&String, &str)| {
        if is_any(described) { !part.is_empty() } else { described == part }
    };
    parts_of(path).count() == described.len() && described.iter().zip(parts_of(path)).all(same)
}

/// The methods that `path` takes, for the header `Allow` (RFC 9110, section 10.2.1); empty where
/// it takes none.
pub fn allowed(path: &str) -> HeaderValue {
    let call = CALLS.iter().find(|(described, _)| stands_for(described, path));
    call.map_or(HeaderValue::from_static(""), |(_, methods)| methods.clone())
}
