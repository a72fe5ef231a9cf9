//! The buffers of a plan: what they are for, how long they are needed, how large they are.

/// How long the contents of a buffer are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Until the next map is made from it: maps alternate between two rooms, each as large as the largest of its maps.
    Even,
    /// The other one.
    Odd,
    /// As [`Room::Even`], of maps that only a part of the batch has, one part after another.
    PartEven,
    /// The other one.
    PartOdd,
    /// During one pass, forward or backward.
    Pass,
    /// From the forward pass until the last backward pass.
    Kept,
}

/// A buffer of a [`Buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffer(usize);

/// All buffers of a plan.
#[derive(Clone, Default)]
pub(super) struct Buffers {
    list: Vec<(Room, usize)>,
}

/// The rooms that maps share.
const ROOMS: [Room; 4] = [Room::Even, Room::Odd, Room::PartEven, Room::PartOdd];

/// Allocations are made of so many bytes, as the driver's are: any kernel's alignment.
const ALIGNMENT: usize = 256;

/// Rounds a size up to the alignment of buffers.
pub(super) fn align(bytes: usize) -> usize {
    bytes.saturating_add(ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
}

impl Buffers {
    pub fn add(&mut self, room: Room, bytes: usize) -> Buffer {
        self.list.push((room, bytes));
        Buffer(self.list.len() - 1)
    }

    pub fn bytes(&self, buffer: Buffer) -> usize {
        self.list[buffer.0].1
    }

    /// Whether only a part of the batch has it.
    pub fn is_of_part(&self, buffer: Buffer) -> bool {
        matches!(self.list[buffer.0].0, Room::PartEven | Room::PartOdd)
    }

    /// Sizes of what is kept, in the order of [`Buffers::addresses`].
    pub fn kept(&self) -> Vec<usize> {
        self.sizes(|room| room == Room::Kept)
    }

    /// Sizes of what a pass works in: the rooms of maps first, unless every buffer is to be apart.
    pub fn work(&self, separate: bool) -> Vec<usize> {
        if separate {
            return self.sizes(|room| room != Room::Kept);
        }
        let largest = |wanted| self.sizes(|room| room == wanted).into_iter().max().unwrap_or(0);
        let mut sizes = ROOMS.map(largest).to_vec();
        sizes.extend(self.sizes(|room| room == Room::Pass));
        sizes
    }

    /// The address of every buffer, from those of [`Buffers::work`] and [`Buffers::kept`].
    pub fn addresses(&self, separate: bool, work: &[u64], kept: &[u64]) -> Addresses {
        let rooms = if separate { 0 } else { ROOMS.len() };
        let (mut work_rest, mut kept_rest) = (work[rooms..].iter(), kept.iter());
        let list = self.list.iter().map(|&(room, _)| {
            match ROOMS[..rooms].iter().position(|&shared| shared == room) {
                Some(place) => work[place],
                // As many as the sizes said.
                None if room == Room::Kept => kept_rest.next().copied().unwrap_or(0),
                None => work_rest.next().copied().unwrap_or(0),
            }
        });
        Addresses { list: list.collect() }
    }

    fn sizes(&self, wanted: impl Fn(Room) -> bool) -> Vec<usize> {
        self.list.iter().filter(|&&(room, _)| wanted(room)).map(|&(_, bytes)| bytes).collect()
    }
}

/// Where the buffers of a plan lie on the device.
#[derive(Clone)]
pub(super) struct Addresses {
    list: Vec<u64>,
}

impl Addresses {
    pub fn of(&self, buffer: Buffer) -> u64 {
        self.list[buffer.0]
    }

    /// Makes a buffer begin so many bytes further on.
    pub fn advance(&mut self, buffer: Buffer, bytes: usize) {
        self.list[buffer.0] += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_share_their_room_and_nothing_else_does() {
        let mut buffers = Buffers::default();
        let small = buffers.add(Room::Even, 100);
        let kept = buffers.add(Room::Kept, 10);
        let large = buffers.add(Room::Even, 300);
        let odd = buffers.add(Room::Odd, 50);
        let pass = buffers.add(Room::Pass, 7);
        let other = buffers.add(Room::Kept, 20);
        assert_eq!((buffers.work(false), buffers.kept()), (vec![300, 50, 0, 0, 7], vec![10, 20]));
        let mut at = buffers.addresses(false, &[1, 2, 8, 9, 3], &[4, 5]);
        assert_eq!([small, kept, large, odd, pass, other].map(|buffer| at.of(buffer)), [1, 4, 1, 2, 3, 5]);
        at.advance(odd, 40);
        assert_eq!([small, odd, pass].map(|buffer| at.of(buffer)), [1, 42, 3]);
        assert_eq!(buffers.work(true), vec![100, 300, 50, 7]);
        let at = buffers.addresses(true, &[1, 2, 3, 4], &[5, 6]);
        assert_eq!([small, kept, large, odd, pass, other].map(|buffer| at.of(buffer)), [1, 5, 2, 3, 4, 6]);
        assert_eq!(align(257), 512);
    }

    #[test]
    fn maps_of_parts_share_rooms_of_their_own() {
        let mut buffers = Buffers::default();
        let whole = buffers.add(Room::Even, 100);
        let parts = [Room::PartEven, Room::PartOdd, Room::PartEven].map(|room| buffers.add(room, 30));
        let pass = buffers.add(Room::Pass, 7);
        assert_eq!(buffers.work(false), [100, 0, 30, 30, 7]);
        assert!(!buffers.is_of_part(whole) && parts.iter().all(|&part| buffers.is_of_part(part)));
        let at = buffers.addresses(false, &[1, 2, 3, 4, 5], &[]);
        assert_eq!(parts.map(|buffer| at.of(buffer)), [3, 4, 3]);
        assert_eq!([whole, pass].map(|buffer| at.of(buffer)), [1, 5]);
    }
}
