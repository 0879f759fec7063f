//! A blob's life: `Pending → Live → Doomed`. Pending is a lease without a row; Live and Doomed are rows.
//!
//! The bytes come before the row and go after it: a live row always has its bytes. A pure table.

/// What the row says; no row at all is a blob that is not here, pending or never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Live,
    /// The bytes are going, or gone; the row goes last.
    Doomed,
}

/// What may happen to a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The bytes were put in place.
    Live,
    /// The bytes are about to be removed.
    Doom,
    /// The bytes were removed.
    Bury,
}

/// Somebody needs the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InUse;

/// The row after the step. `held`: it is leased, linked, or a manifest somewhere.
pub fn after(row: Option<Life>, step: Step, held: bool) -> Result<Option<Life>, InUse> {
    match (step, row) {
        (Step::Live, _) => Ok(Some(Life::Live)),
        (Step::Doom, _) if held => Err(InUse),
        (Step::Doom, None) => Ok(None),
        (Step::Doom, Some(_)) => Ok(Some(Life::Doomed)),
        (Step::Bury, Some(Life::Live)) => Ok(row),
        (Step::Bury, _) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One blob, three writers that want it linked and two removers that want it gone, one step at a time.
    #[derive(Default)]
    struct World {
        row: Option<Life>,
        bytes: bool,
        links: u32,
        leases: u32,
        actors: [u8; 5],
    }

    impl World {
        fn writer(&mut self, who: usize) {
            let next = match self.actors[who] {
                0 => {
                    self.leases += 1;
                    1
                }
                // Who meets a doomed row waits before the rename.
                1 if self.row == Some(Life::Doomed) => 1,
                1 => {
                    self.bytes = true;
                    2
                }
                2 => {
                    self.row = after(self.row, Step::Live, true).unwrap();
                    self.links += 1;
                    3
                }
                3 => {
                    self.leases -= 1;
                    4
                }
                _ => {
                    self.links -= 1;
                    0
                }
            };
            self.actors[who] = next;
        }

        fn remover(&mut self, who: usize) {
            let next = match self.actors[who] {
                0 => match after(self.row, Step::Doom, self.leases > 0 || self.links > 0) {
                    // One remover at a time: the second finds it doomed already and leaves it.
                    Ok(Some(Life::Doomed)) if self.row == Some(Life::Live) => {
                        self.row = Some(Life::Doomed);
                        1
                    }
                    _ => 0,
                },
                1 => {
                    self.bytes = false;
                    2
                }
                _ => {
                    self.row = after(self.row, Step::Bury, false).unwrap();
                    0
                }
            };
            self.actors[who] = next;
        }
    }

    proptest! {
        #[test]
        fn a_live_row_always_has_its_bytes_and_a_link_a_live_row(steps in prop::collection::vec(0usize..5, 0..300)) {
            let mut world = World::default();
            for who in steps {
                if who < 3 { world.writer(who) } else { world.remover(who) }
                prop_assert!(world.row != Some(Life::Live) || world.bytes, "live without bytes");
                prop_assert!(world.links == 0 || world.row == Some(Life::Live), "linked but not live");
            }
        }
    }
}
