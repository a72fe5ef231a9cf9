//! What a program opens before it can explain anything: files, the bundled ones where none are named, and a device.
//!
//! The command line and the C API do the same here; each says in its own words which option is meant.

mod device;
mod files;
mod labels;

pub use device::{
    DeviceChoice, DeviceList, DeviceRequest, OpenDeviceError, OpenedDevice, PrecisionChoice, why_not,
};
pub use files::{NotBundled, find_patterns, find_weights, open_weights};
pub use labels::{LabelError, find_labels};
