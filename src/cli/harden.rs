//! Keeps this process's memory from others: it holds passphrases, keys and tokens.

use rustix::process::{Resource, Rlimit, setrlimit};

/// From here on no core dump is written, and no process of the same user may read this one's
/// memory or trace it (prctl(2), `PR_SET_DUMPABLE`); root still may. A program that this one
/// starts begins anew. What the kernel refuses is not worth stopping for.
pub fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(cause = %error, "this process's memory can be dumped");
        }
    }
    // Also where there is no such call.
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(cause = %error, "core dumps cannot be turned off");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn memory_is_private_afterwards() {
        keep_memory_private();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
    }
}
