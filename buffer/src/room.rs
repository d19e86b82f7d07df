//! Reservations: room is promised before anything is written (DELIVERY rule 16).

use std::{fmt, sync::Arc};

use crate::{
    Full,
    state::{FRAMING, Shared},
};

/// Room for one entry. Dropped, it gives the room back.
pub struct Reservation {
    shared: Arc<Shared>,
    /// Bytes of head and body; framing is set aside on top.
    bytes: u64,
    spare: bool,
}

impl Reservation {
    pub(crate) fn new(shared: &Arc<Shared>, bytes: u64, spare: bool) -> Result<Self, Full> {
        let cost = bytes.saturating_add(FRAMING);
        let taken = {
            let mut state = shared.lock();
            let taken = state.take_room(&shared.options, 1, cost, spare);
            state.trim |= taken.is_err();
            taken
        };
        if let Err(full) = taken {
            // The open segment may hold nothing but delivered entries.
            shared.work.notify_all();
            shared.metrics.refused.inc();
            return Err(full);
        }
        Ok(Self {
            shared: Arc::clone(shared),
            bytes,
            spare,
        })
    }

    /// Bytes of head and body that it has room for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the other's room in: small pieces of many chunks become one entry. What the other
    /// had set aside for framing is given back. Both must be of the same buffer.
    pub fn merge(&mut self, mut other: Reservation) {
        debug_assert!(
            Arc::ptr_eq(&self.shared, &other.shared),
            "reservations of one buffer"
        );
        if Arc::ptr_eq(&self.shared, &other.shared) {
            self.bytes += std::mem::take(&mut other.bytes);
        }
    }

    /// Takes `bytes` out as a reservation of its own. It needs room for its framing, too;
    /// fails when that, or this reservation, has not so much.
    pub fn split(&mut self, bytes: u64) -> Result<Reservation, Full> {
        let Some(left) = self.bytes.checked_sub(bytes) else {
            return Err(Full {
                needed: bytes,
                free: self.bytes,
            });
        };
        let mut taken = Self::new(&self.shared, 0, self.spare)?;
        self.bytes = left;
        taken.bytes = bytes;
        Ok(taken)
    }

    /// Gives back all but `bytes`; nothing when it has no more.
    pub fn shrink(&mut self, bytes: u64) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.shared.lock().give_room(0, surplus);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.lock().give_room(1, self.bytes + FRAMING);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, spare, .. } = self;
        f.debug_struct("Reservation")
            .field("bytes", bytes)
            .field("spare", spare)
            .finish()
    }
}
