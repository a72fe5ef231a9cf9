//! From the pixels of an image to the input of a network.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;

/// The order in which a network takes the colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as Caffe's networks.
    Bgr,
}

impl fmt::Display for ChannelOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
        })
    }
}

impl FromStr for ChannelOrder {
    type Err = PreprocessingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "rgb" => Ok(Self::Rgb),
            "bgr" => Ok(Self::Bgr),
            _ => Err(PreprocessingError::Value {
                key: "channel_order",
                value: excerpt(text),
                expected: "rgb or bgr",
            }),
        }
    }
}

/// How an image becomes the input of a network: (u8 · `pixel_scale` / 255 − `mean`) / `std`, channel by channel.
///
/// The default is torchvision's: rgb, scale 1, mean 0.485 0.456 0.406, standard deviation 0.229 0.224 0.225.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocessing {
    /// The order of the network's input channels.
    pub channel_order: ChannelOrder,
    /// The value of a white pixel before the mean is subtracted: 1 or 255.
    pub pixel_scale: f32,
    /// Subtracted, in units of scaled pixels and in the network's channel order.
    pub mean: [f32; 3],
    /// Divides, in the network's channel order.
    pub std: [f32; 3],
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self {
            channel_order: ChannelOrder::Rgb,
            pixel_scale: 1.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }
}

/// A preprocessing that cannot be used; the key is the metadata key, the option of the command line has its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessingError {
    /// A value that is not what its key needs.
    #[error("{key} is {value}, expected {expected}")]
    Value {
        /// Metadata key.
        key: &'static str,
        /// What was found.
        value: String,
        /// What is needed.
        expected: &'static str,
    },
    /// Nobody says how pixels become the input.
    #[error(
        "the file does not say how pixels become the network's input ({reason}); say it with --preprocessing NAME, \
         or with --channel-order, --pixel-scale, --mean and --std"
    )]
    Unknown {
        /// What the file has instead.
        reason: String,
    },
    /// Some of the four keys are there and this one is not, so torchvision's value would be a guess.
    #[error(
        "the metadata describe the preprocessing without {key}; give it too (--{option})",
        option = .key.replace('_', "-")
    )]
    Incomplete {
        /// The missing key.
        key: &'static str,
    },
}

impl Preprocessing {
    /// Reads `channel_order`, `pixel_scale`, `mean` and `std`, JSON values in strings, from a file's metadata; a
    /// channel order without quotes is understood too. `None` when there is none of them.
    ///
    /// # Errors
    /// When some of the four are missing, when a value has the wrong type or number of values, is not finite, or would
    /// make the input of the network infinite.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Option<Self>, PreprocessingError> {
        let stated = PreprocessingOverrides::from_metadata(metadata)?;
        if stated == PreprocessingOverrides::default() {
            return Ok(None);
        }
        stated.complete().map(Some)
    }

    /// # Errors
    /// When a value is not finite, the scale not positive, a standard deviation zero, or the input would overflow.
    pub fn validate(&self) -> Result<(), PreprocessingError> {
        if !(self.pixel_scale.is_finite() && self.pixel_scale > 0.0) {
            return Err(PreprocessingError::Value {
                key: "pixel_scale",
                value: self.pixel_scale.to_string(),
                expected: "a positive number, usually 1 or 255",
            });
        }
        if !self.mean.iter().all(|value| value.is_finite()) {
            return Err(PreprocessingError::Value {
                key: "mean",
                value: format!("{:?}", self.mean),
                expected: "three finite numbers",
            });
        }
        let usable = |(mean, std): (&f32, &f32)| {
            let (black, white) = ((0.0 - mean) / std, (self.pixel_scale - mean) / std);
            std.is_finite() && *std != 0.0 && black.is_finite() && white.is_finite()
        };
        if !self.mean.iter().zip(&self.std).all(usable) {
            return Err(PreprocessingError::Value {
                key: "std",
                value: format!("{:?}", self.std),
                expected: "three finite numbers, none of them zero or so small that the input overflows",
            });
        }
        Ok(())
    }

    /// The four values by their metadata keys, numbers in the fewest digits that read back as the same float32.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        // By way of text: converting to float64 would show 103.939 as 103.93900299072266.
        let number = |value: f32| serde_json::from_str(&value.to_string()).unwrap_or_default();
        let numbers = |values: [f32; 3]| serde_json::Value::Array(values.map(number).to_vec());
        [
            ("channel_order", self.channel_order.to_string().into()),
            ("pixel_scale", number(self.pixel_scale)),
            ("mean", numbers(self.mean)),
            ("std", numbers(self.std)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
    }

    /// The preprocessing of a file with these metadata under these overrides; torchvision's where neither says
    /// anything.
    pub(crate) fn resolve(
        metadata: &BTreeMap<String, String>,
        overrides: &PreprocessingOverrides,
    ) -> Result<Self, PreprocessingError> {
        let stated = PreprocessingOverrides::from_metadata(metadata)?;
        if stated == PreprocessingOverrides::default() {
            return overrides.apply(Self::default());
        }
        PreprocessingOverrides {
            channel_order: overrides.channel_order.or(stated.channel_order),
            pixel_scale: overrides.pixel_scale.or(stated.pixel_scale),
            mean: overrides.mean.or(stated.mean),
            std: overrides.std.or(stated.std),
        }
        .complete()
    }
}

/// The parts of a preprocessing that somebody stated.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PreprocessingOverrides {
    /// See [`Preprocessing::channel_order`]. Mean and standard deviation are not reordered with it.
    pub channel_order: Option<ChannelOrder>,
    /// See [`Preprocessing::pixel_scale`].
    pub pixel_scale: Option<f32>,
    /// See [`Preprocessing::mean`].
    pub mean: Option<[f32; 3]>,
    /// See [`Preprocessing::std`].
    pub std: Option<[f32; 3]>,
}

impl PreprocessingOverrides {
    /// `base` with the stated parts in place of its own.
    ///
    /// # Errors
    /// When the result cannot be used, see [`Preprocessing::validate`].
    pub fn apply(&self, base: Preprocessing) -> Result<Preprocessing, PreprocessingError> {
        let result = Preprocessing {
            channel_order: self.channel_order.unwrap_or(base.channel_order),
            pixel_scale: self.pixel_scale.unwrap_or(base.pixel_scale),
            mean: self.mean.unwrap_or(base.mean),
            std: self.std.unwrap_or(base.std),
        };
        result.validate()?;
        Ok(result)
    }

    fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self, PreprocessingError> {
        let channel_order = metadata
            .get("channel_order")
            .map(|text| serde_json::from_str::<String>(text).unwrap_or_else(|_| text.clone()).parse())
            .transpose()?;
        Ok(Self {
            channel_order,
            pixel_scale: parse(metadata, "pixel_scale", "a number")?,
            mean: parse(metadata, "mean", "a JSON array of three numbers")?,
            std: parse(metadata, "std", "a JSON array of three numbers")?,
        })
    }

    /// Everything stated, nothing guessed.
    pub(crate) fn complete(&self) -> Result<Preprocessing, PreprocessingError> {
        let missing = |key| PreprocessingError::Incomplete { key };
        let result = Preprocessing {
            channel_order: self.channel_order.ok_or(missing("channel_order"))?,
            pixel_scale: self.pixel_scale.ok_or(missing("pixel_scale"))?,
            mean: self.mean.ok_or(missing("mean"))?,
            std: self.std.ok_or(missing("std"))?,
        };
        result.validate()?;
        Ok(result)
    }
}

fn parse<T: DeserializeOwned>(
    metadata: &BTreeMap<String, String>,
    key: &'static str,
    expected: &'static str,
) -> Result<Option<T>, PreprocessingError> {
    metadata
        .get(key)
        .map(|text| {
            serde_json::from_str(text).map_err(|_| PreprocessingError::Value {
                key,
                value: excerpt(text),
                expected,
            })
        })
        .transpose()
}

/// Quoted and short: metadata may be megabytes of control characters.
fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}
