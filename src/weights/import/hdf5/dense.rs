//! Links and attributes that are too many or too large for the header of their object, before the crate copies them.

use hdf5_reader::btree_v2::BTreeV2Header;
use hdf5_reader::error::Error;
use hdf5_reader::fractal_heap::FractalHeap;
use hdf5_reader::group::Group;
use hdf5_reader::io::Cursor;

/// More than any group of a Keras file has.
const MOST: u64 = 1 << 10;

/// Bytes of one of them in the heap; libhdf5 has 2^12, and keeps larger ones elsewhere.
const LARGEST: u64 = 1 << 14;

/// Refuses more of them than a Keras file has, or larger ones: a tree may list the same bytes of the heap over and over.
///
/// # Errors
/// When there are, or the heap or a tree is damaged.
pub(super) fn check(group: &Group, heap: u64, trees: &[Option<u64>]) -> Result<(), Error> {
    let (storage, offset_size, length_size) = (group.storage(), group.offset_size(), group.length_size());
    if Cursor::is_undefined_offset(heap, offset_size) {
        return Ok(());
    }
    let heap = FractalHeap::parse_at_storage(storage, heap, offset_size, length_size)?;
    if heap.max_managed_object_size > LARGEST {
        return Err(Error::ResourceLimit(format!(
            "members of group {} may be larger than {LARGEST} bytes",
            group.name()
        )));
    }
    for &tree in trees.iter().flatten() {
        if Cursor::is_undefined_offset(tree, offset_size) {
            continue;
        }
        let tree = BTreeV2Header::parse_at_storage(storage, tree, offset_size, length_size)?;
        if tree.total_records > MOST {
            return Err(Error::ResourceLimit(format!("group {} has more than {MOST} members", group.name())));
        }
    }
    Ok(())
}
