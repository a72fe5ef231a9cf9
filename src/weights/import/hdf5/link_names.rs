//! Names of a group's members, before the crate copies them.

use std::collections::HashSet;

use hdf5_reader::btree_v1::collect_btree_v1_leaves_storage;
use hdf5_reader::error::Error;
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::symbol_table_msg::SymbolTableMessage;
use hdf5_reader::storage::Storage;
use hdf5_reader::symbol_table::SymbolTableNode;

/// Refuses a group of the old kind whose names share bytes: in a sound file each has its own in the group's heap, so that
/// together they are no longer than it. A megabyte could become gigabytes of names otherwise.
///
/// # Errors
/// When they do, or the group is damaged.
pub(super) fn check(
    group: &SymbolTableMessage,
    storage: &dyn Storage,
    offset_size: u8,
    length_size: u8,
) -> Result<(), Error> {
    let heap = LocalHeap::parse_at_storage(storage, group.heap_address, offset_size, length_size)?;
    let leaves = collect_btree_v1_leaves_storage(
        storage,
        group.btree_address,
        offset_size,
        length_size,
        None,
        &[],
        None,
    )?;
    let length = usize::try_from(heap.data_segment_size).map_err(|_| shared())?;
    let names = storage.read_range(heap.data_segment_address, length)?;
    let mut left = length;
    let mut seen = HashSet::new();
    for (_, address) in leaves {
        if !seen.insert(address) {
            return Err(shared());
        }
        for entry in node(storage, address, offset_size, length_size)?.entries {
            let start = usize::try_from(entry.link_name_offset).unwrap_or(usize::MAX);
            let name = names.as_ref().get(start..).unwrap_or_default();
            // One more for the NUL at the end.
            let bytes = name.iter().take(left).position(|&byte| byte == 0).ok_or_else(shared)? + 1;
            left = left.checked_sub(bytes).ok_or_else(shared)?;
        }
    }
    Ok(())
}

fn node(
    storage: &dyn Storage,
    address: u64,
    offset_size: u8,
    length_size: u8,
) -> Result<SymbolTableNode, Error> {
    const PREFIX: usize = 8;
    let prefix = storage.read_range(address, PREFIX)?;
    // Signature (4), version (1), reserved (1), number of entries (2).
    let count = match *prefix.as_ref() {
        [.., low, high] => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    let entry = 2 * usize::from(offset_size) + 24;
    let bytes = storage.read_range(address, PREFIX + count * entry)?;
    SymbolTableNode::parse(&mut Cursor::new(bytes.as_ref()), offset_size, length_size)
}

fn shared() -> Error {
    Error::ResourceLimit("names of a group share their bytes".to_owned())
}
