//! Files that people write.

use crate::config::raw::Partial;
use crate::config::resolve::{Layers, resolve};

/// Any text as `cluster.yaml`: it is refused in one sentence, or gives a configuration that,
/// printed and read again, is the same.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let file = match Partial::from_yaml("cluster.yaml", text) {
        Ok(file) => file,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let resolved = match resolve(&Layers { file, ..Layers::default() }) {
        Ok(resolved) => resolved,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let printed = resolved.to_yaml();
    let again = Partial::from_yaml("printed.yaml", &printed)
        .and_then(|file| resolve(&Layers { file, ..Layers::default() }));
    match again {
        Ok(again) => assert_eq!(again.config, resolved.config, "{printed}"),
        Err(error) => panic!("{error}:\n{printed}"),
    }
}
