use super::OutputError;

/// How an explanation is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendering {
    /// In colour, as x / (2 · max|x|) + 0.5: signals, gradient, deconvnet and guided-backprop.
    Signal,
    /// As a heat map of the channel sum, symmetric about zero: attributions.
    HeatMap,
}

/// One method's explanation of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The method's name as typed on the command line, such as `patternnet` or `signal:linear`.
    pub method: String,
    /// How it is drawn.
    pub rendering: Rendering,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 3 × height × width values, channels R, G, B, in units of the network's normalised input divided by 2^`scale_log2`;
    /// of a heat map that is only to be drawn, height × width sums over the channels.
    pub values: Vec<f32>,
    /// Power of two by which `values` are to be multiplied; 0 unless float32 would overflow.
    pub scale_log2: i32,
}

impl Explanation {
    /// Whether the values are a heat map's sums over the channels, rather than the channels.
    pub(super) fn holds_sums(&self) -> bool {
        self.rendering == Rendering::HeatMap && Some(self.values.len()) == self.height.checked_mul(self.width)
    }
}

/// Checks that `values` make 3 channels of height × width pixels, and that a picture of that size can exist.
///
/// # Errors
/// [`OutputError::Shape`] otherwise.
pub(super) fn check_shape(values: usize, height: usize, width: usize) -> Result<(), OutputError> {
    let pictured = u32::try_from(height).is_ok() && u32::try_from(width).is_ok();
    let expected = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(3));
    if pictured && values > 0 && expected == Some(values) {
        Ok(())
    } else {
        Err(OutputError::Shape { values, height, width })
    }
}
