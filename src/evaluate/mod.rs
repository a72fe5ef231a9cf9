//! How good explanations are: the quality ρ of signal estimators.

pub mod quality;
