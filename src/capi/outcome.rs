//! What became of the images of a batch, together.

use super::failure::Failure;
use super::status::{VGGX_OK, vggx_status};

/// The first failure among images.
#[derive(Default)]
pub struct Outcomes {
    first: Option<Failure>,
}

impl Outcomes {
    /// Notes that an image failed, and gives its status.
    pub fn fail(&mut self, image: usize, failure: Failure) -> vggx_status {
        let status = failure.status;
        self.first.get_or_insert_with(|| failure.of_image(image));
        status
    }

    /// The status of the whole.
    pub fn status(self) -> Result<vggx_status, Failure> {
        self.first.map_or(Ok(VGGX_OK), Err)
    }
}
