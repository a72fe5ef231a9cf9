//! What a call runs: each pass once, whatever number of methods it serves.

use super::error::ExplainError;
use super::explained::{Detail, Exponent, Request};
use super::method::{Method, Recipe};
use super::prepared::PreparedPasses;
use crate::backend::PassId;
use crate::backend::cuda::{self, DeviceDestination, Stored};

/// Where a method's array comes from.
#[derive(Clone, Copy)]
pub enum Source {
    Input,
    /// The result of a run, by its place among the runs of a call.
    Run {
        index: usize,
        times_input: bool,
    },
    /// A pass that leaves its results on the device.
    OnDevice {
        pass: PassId,
    },
}

impl Source {
    /// Whether the host needs the input itself.
    pub fn needs_input(self) -> bool {
        matches!(self, Source::Input | Source::Run { times_input: true, .. })
    }
}

/// A pass that runs once in a call, whatever number of methods it serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub pass: PassId,
    pub heat_map: bool,
}

/// What a call runs, and what the arrays are made of.
pub struct Plan {
    pub runs: Vec<Run>,
    pub methods: Vec<PlannedMethod>,
}

/// How the array of a method is made.
pub struct PlannedMethod {
    pub method: Method,
    pub source: Source,
    pub heat_map: bool,
    pub exponent: Exponent,
}

impl Plan {
    /// Finds the passes that a call runs, each once.
    ///
    /// # Panics
    /// When there are more or fewer destinations than methods.
    ///
    /// # Errors
    /// When a method was not prepared.
    pub fn new(request: &Request, passes: &PreparedPasses) -> Result<Self, ExplainError> {
        if let Some(destinations) = request.destinations {
            assert_eq!(destinations.len(), request.methods.len(), "one destination a method");
        }
        let mut runs = Vec::new();
        let methods = request
            .methods
            .iter()
            .enumerate()
            .map(|(index, &method)| {
                let destination = request.destinations.map(|destinations| &destinations[index]);
                let (detail, exponent) = match destination {
                    Some(destination) => of_destination(destination),
                    None => (request.detail, request.exponent),
                };
                let (source, heat_map) = match method.recipe() {
                    Recipe::Input => (Source::Input, detail.is_heat_map(method, true)),
                    Recipe::Pass { operator, gate, start, times_input } => {
                        let heat_map = detail.is_heat_map(method, times_input);
                        let pass = passes
                            .find((operator, gate, start))
                            .ok_or(ExplainError::NotPrepared { method })?;
                        if destination.is_some() && !times_input {
                            let source = Source::OnDevice { pass };
                            return Ok(PlannedMethod { method, source, heat_map, exponent });
                        }
                        let run = Run { pass, heat_map: heat_map && !times_input };
                        let index = runs.iter().position(|known| *known == run).unwrap_or_else(|| {
                            runs.push(run);
                            runs.len() - 1
                        });
                        (Source::Run { index, times_input }, heat_map)
                    }
                };
                Ok(PlannedMethod { method, source, heat_map, exponent })
            })
            .collect::<Result<_, ExplainError>>()?;
        Ok(Plan { runs, methods })
    }
}

/// What a destination says about an array.
fn of_destination(destination: &DeviceDestination) -> (Detail, Exponent) {
    let detail = match destination.detail() {
        cuda::Detail::Planes => Detail::Planes,
        cuda::Detail::HeatMap => Detail::HeatMap,
    };
    let exponent = match destination.stored() {
        Stored::F32 => Exponent::Folded,
        Stored::F16 => Exponent::Apart,
    };
    (detail, exponent)
}
