//! Leases: who needs a digest to stay, for now.

/// Holds digests against a doom until it is dropped.
pub struct Lease;
