//! Journal and drain over memory: what is acknowledged is kept, and reaches the ledger once.
