//! Attributes that are texts.

use hdf5_reader::error::Error;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::attribute::AttributeMessage;
use hdf5_reader::messages::attribute_info::AttributeInfoMessage;
use hdf5_reader::{Datatype, StringPadding, StringSize, VarLenKind};

use super::super::super::error::WeightProblem;
use super::file::Group;
use super::{dense, problem};

/// More texts than any attribute of a Keras file has.
const MOST_TEXTS: u64 = 1 << 16;

/// Bytes of all texts of an attribute; the configuration of a VGG has about 2^15.
const LONGEST: usize = 1 << 21;

/// The texts of an attribute of a group; `None` when it has no attribute of this name.
///
/// # Errors
/// When it holds something else, or unreasonably much.
pub(super) fn texts(group: &Group<'_>, name: &str) -> Result<Option<Vec<String>>, WeightProblem> {
    let header = group.header()?;
    for message in &header.messages {
        match message {
            HdfMessage::Attribute(attribute) if attribute.name == name => {
                return decode(group, attribute).map(Some);
            }
            HdfMessage::AttributeInfo(info) => {
                if let Some(attribute) = dense_attribute(group, info, name)? {
                    return decode(group, &attribute).map(Some);
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

/// An attribute outside of the object's header, where large ones are and those of groups that have many.
fn dense_attribute(
    group: &Group<'_>,
    info: &AttributeInfoMessage,
    name: &str,
) -> Result<Option<AttributeMessage>, WeightProblem> {
    let trees = [Some(info.btree_name_index_address), info.btree_creation_order_address];
    dense::check(group.inner(), info.fractal_heap_address, &trees).map_err(problem)?;
    let attributes = group.inner().raw_attributes().map_err(problem)?;
    Ok(attributes
        .into_iter()
        .map(|attribute| attribute.into_parts().0)
        .find(|attribute| attribute.name == name))
}

fn decode(group: &Group<'_>, attribute: &AttributeMessage) -> Result<Vec<String>, WeightProblem> {
    let count = attribute.dataspace.num_elements().map_err(|error| problem(error.into()))?;
    if count > MOST_TEXTS {
        return Err(WeightProblem::Harmful(format!("attribute {} has {count} texts", attribute.name)));
    }
    // No more than MOST_TEXTS.
    let count = count as usize;
    match &attribute.datatype {
        // Empty lists have the element type of an empty array.
        _ if count == 0 => Ok(Vec::new()),
        Datatype::String { size: StringSize::Fixed(width), padding, .. } => {
            let width = *width as usize;
            let texts: Vec<String> = (0..count)
                .map_while(|index| attribute.raw_data.get(index * width..)?.get(..width))
                .map(|text| text_of(text, *padding))
                .collect();
            if texts.len() == count { Ok(texts) } else { Err(short(attribute)) }
        }
        Datatype::String { size: StringSize::Variable, padding, .. }
        | Datatype::VarLen { kind: VarLenKind::String, padding, .. } => {
            references(group, attribute, count, *padding)
        }
        _ => Err(WeightProblem::Damaged(format!("attribute {} is no text", attribute.name))),
    }
}

/// Texts of any length lie in a heap of the file: each element is a length, the address of a heap and a number in it.
fn references(
    group: &Group<'_>,
    attribute: &AttributeMessage,
    count: usize,
    padding: StringPadding,
) -> Result<Vec<String>, WeightProblem> {
    let width = 8 + usize::from(group.inner().offset_size());
    let mut left = LONGEST;
    (0..count)
        .map(|index| {
            let reference = attribute
                .raw_data
                .get(index * width..)
                .and_then(|data| data.get(..width))
                .ok_or_else(|| short(attribute))?;
            let length = reference.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
            left = left.checked_sub(length).ok_or_else(|| {
                problem(Error::ResourceLimit(format!(
                    "the texts of attribute {} are longer than {LONGEST} bytes",
                    attribute.name
                )))
            })?;
            let text = group.inner().resolve_vlen_reference_bytes(reference, 1).map_err(problem)?;
            Ok(text_of(&text, padding))
        })
        .collect()
}

fn text_of(bytes: &[u8], padding: StringPadding) -> String {
    let end = match padding {
        StringPadding::SpacePad => bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1),
        StringPadding::NullTerminate | StringPadding::NullPad => {
            bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len())
        }
    };
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn short(attribute: &AttributeMessage) -> WeightProblem {
    WeightProblem::Damaged(format!("attribute {} has fewer bytes than its texts need", attribute.name))
}
