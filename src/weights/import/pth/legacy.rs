//! Files of PyTorch before version 1.6: pickles of a magic number, the protocol, the machine, the object and the list of
//! storages, then every storage's length and numbers (PyTorch, torch/serialization.py, `_legacy_save`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use memmap2::Mmap;

use super::super::super::error::WeightProblem;
use super::super::state_dict::StateDict;
use super::checkpoint;
use super::pickle::{Unpickled, Value, unpickle};
use super::storages::Storages;
use super::{BIG_ENDIAN, LONGEST_PICKLE};

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

const PROTOCOL: i64 = 1001;

pub(super) fn read(map: Arc<Mmap>) -> Result<StateDict, WeightProblem> {
    // The pickles come first: beyond this limit only numbers may follow.
    let pickles = map.get(..LONGEST_PICKLE).unwrap_or(&map);
    let magic = unpickle(pickles, 0)?;
    if !matches!(magic.value(magic.root), Value::Long(span) if magic.long(span) == MAGIC) {
        return Err(WeightProblem::Harmful(
            "it begins as a pickle, but not with PyTorch's magic number; only files that torch.save wrote are read".to_owned(),
        ));
    }
    let protocol = unpickle(pickles, magic.end)?;
    if !matches!(protocol.value(protocol.root), Value::Integer(PROTOCOL)) {
        return Err(WeightProblem::Damaged(format!("PyTorch's protocol is not {PROTOCOL}")));
    }
    let machine = unpickle(pickles, protocol.end)?;
    if !is_little_endian(&machine) {
        return Err(WeightProblem::Harmful(BIG_ENDIAN.to_owned()));
    }
    let object = unpickle(pickles, machine.end)?;
    let keys = unpickle(pickles, object.end)?;
    let storages = storages(&map, &object, &keys)?;
    checkpoint::state_dict(&object, &storages)
}

/// {"protocol_version": 1001, "little_endian": True, "type_sizes": {…}}
fn is_little_endian(machine: &Unpickled<'_>) -> bool {
    let Value::Dictionary(items) = machine.value(machine.root) else {
        return false;
    };
    items.iter().any(|&(key, value)| {
        matches!(machine.value(key), Value::Text(key) if machine.is_text(key, "little_endian"))
            && matches!(machine.value(value), Value::Boolean(true))
    })
}

/// Finds the numbers of every storage: they follow the pickles in the order of the list, each after its number of
/// elements as a 64-bit integer. How large an element is, only the object tells.
fn storages(
    map: &Arc<Mmap>,
    object: &Unpickled<'_>,
    keys: &Unpickled<'_>,
) -> Result<Storages, WeightProblem> {
    let mut sizes = HashMap::new();
    for value in object.values() {
        if let Value::Storage(storage) = value {
            let size = storage.number.map_or(1, |number| number.size());
            if sizes.insert(object.text(&storage.key), size).is_some_and(|other| other != size) {
                return Err(WeightProblem::Damaged(
                    "a storage is used with two types of elements".to_owned(),
                ));
            }
        }
    }
    let Value::List(list) = keys.value(keys.root) else {
        return Err(WeightProblem::Damaged("the list of storages is missing".to_owned()));
    };
    let mut ranges = BTreeMap::new();
    let mut at = keys.end;
    for &key in list {
        let Value::Text(key) = keys.value(key) else {
            return Err(WeightProblem::Damaged("the name of a storage is no text".to_owned()));
        };
        let key = keys.text(key);
        let size = *sizes
            .get(&key)
            .ok_or_else(|| WeightProblem::Damaged(format!("storage {key} belongs to no tensor")))?;
        let truncated = || {
            WeightProblem::Damaged(format!("the file ends within storage {key}, which starts at byte {at}"))
        };
        let (count, _) = map.get(at..).and_then(<[u8]>::split_first_chunk::<8>).ok_or_else(truncated)?;
        let range = usize::try_from(u64::from_le_bytes(*count))
            .ok()
            .and_then(|count| count.checked_mul(size))
            .and_then(|bytes| (at + 8).checked_add(bytes))
            .filter(|&end| end <= map.len())
            .map(|end| at + 8..end)
            .ok_or_else(truncated)?;
        at = range.end;
        if ranges.insert(key, range).is_some() {
            return Err(WeightProblem::Damaged("a storage is listed twice".to_owned()));
        }
    }
    Ok(Storages::Listed { map: Arc::clone(map), ranges })
}
