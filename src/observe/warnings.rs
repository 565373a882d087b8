//! What about this node an operator should mend, as long as it is so. Shown in its status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// At most one sentence about each subject. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Warnings {
    by_subject: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Warnings {
    /// Says it in the log too, where it is new.
    pub fn set(&self, subject: &'static str, sentence: String) {
        let mut warnings = self.by_subject.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.get(subject) != Some(&sentence) {
            tracing::warn!("{sentence}");
            warnings.insert(subject, sentence);
        }
    }

    pub fn clear(&self, subject: &'static str) {
        self.by_subject.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
    }

    /// The sentences, in the order of their subjects.
    pub fn list(&self) -> Vec<String> {
        let warnings = self.by_subject.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_stays_until_it_is_cleared() {
        let warnings = Warnings::default();
        warnings.set("b", "second".into());
        warnings.set("a", "x".into());
        warnings.clone().set("a", "first".into());
        assert_eq!(warnings.list(), ["first", "second"]);
        warnings.clear("b");
        assert_eq!(warnings.list(), ["first"]);
    }
}
