//! What a question to an upstream may take: how much time, and how much of what the upstream grants.

use std::time::{Duration, Instant};

/// When the answer's headers must be there, and for whom the question is asked.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub until: Instant,
    pub purpose: Purpose,
}

impl Budget {
    /// A budget that ends so long from now, for a client who waits.
    pub fn lasting(time: Duration) -> Budget {
        Budget::until(Instant::now() + time)
    }

    /// A budget that ends at that time, for a client who waits.
    pub fn until(until: Instant) -> Budget {
        Budget { until, purpose: Purpose::Miss }
    }

    /// The same time for another purpose.
    pub fn of(self, purpose: Purpose) -> Budget {
        Budget { purpose, ..self }
    }
}

/// Why an upstream is asked. Where it grants a limited number of pulls, the first has them all and the others stop earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// A client waits for what is not here.
    Miss,
    /// What is here may have changed; it can be served as it is.
    Revalidate,
    /// Nobody waits for it yet.
    Prefetch,
}

impl Purpose {
    /// Percent of the limit that are left to more urgent purposes.
    pub(super) fn leaves(self) -> u64 {
        match self {
            Purpose::Miss => 0,
            Purpose::Revalidate => 20,
            Purpose::Prefetch => 40,
        }
    }
}
