//! Runs that are written down and not drawn.
