//! A pass as a list of steps: copies and kernels with all their parameters. It runs step by step, or is captured once
//! and launched as a whole.

use super::device::{Device, DeviceError, Graph, Kernel, LaunchSize, PinnedMemory, Stream};
use super::params::{
    VggxAveragePool, VggxChannelSums, VggxConvolutionBackward, VggxConvolutionForward, VggxDeliver,
    VggxGather, VggxHopperBackward, VggxHopperForward, VggxHopperMoments, VggxInterleave, VggxMomentInputs,
    VggxMomentMaps, VggxMomentResponses, VggxMoments, VggxNormalise, VggxOutput, VggxSecondDense,
    VggxSecondPass, VggxSecondRegions, VggxSignalImage, VggxStart, VggxUnpool,
};

/// Memory of the host that passes copy from and to. Their addresses are in the captured graphs.
pub(super) struct Pinned {
    pub upload: PinnedMemory,
    pub download: PinnedMemory,
}

/// One step.
pub(super) enum Step {
    /// Copies to the device, from an offset of [`Pinned::upload`].
    Upload { address: u64, offset: usize, bytes: usize },
    /// Copies from the device, to an offset of [`Pinned::download`].
    Download { address: u64, offset: usize, bytes: usize },
    /// Sets bytes to zero.
    Clear { address: u64, bytes: usize },
    /// Runs a kernel.
    Launch {
        kernel: String,
        size: LaunchSize,
        parameters: Box<Parameters>,
        shape: String,
        place: LaunchPlace,
    },
}

/// Where in a pass a kernel runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LaunchPlace {
    /// The parametric layer that it belongs to, if any.
    pub layer: Option<usize>,
    /// Whether it runs for a part of the batch, and the first image of that.
    pub in_part: bool,
    pub first: usize,
    /// Whether it reads what the launch before has left in the L2 cache.
    pub follows: bool,
}

macro_rules! parameters {
    ($($variant:ident($structure:ty)),* $(,)?) => {
        /// What a kernel takes; steps hold it in a box.
        #[derive(Clone)]
        #[expect(clippy::large_enum_variant, reason = "two tensor maps are the whole size of the largest ones")]
        pub(super) enum Parameters {
            $($variant($structure)),*
        }

        $(
            impl From<$structure> for Parameters {
                fn from(structure: $structure) -> Self {
                    Parameters::$variant(structure)
                }
            }
        )*

        impl Parameters {
            /// # Safety
            /// As [`Stream::launch`].
            pub unsafe fn launch(
                &self,
                stream: &Stream,
                kernel: &Kernel,
                size: LaunchSize,
            ) -> Result<(), DeviceError> {
                match self {
                    // SAFETY: the caller's.
                    $(Parameters::$variant(structure) => unsafe { stream.launch(kernel, size, structure) }),*
                }
            }
        }
    };
}

parameters! {
    Normalise(VggxNormalise),
    Interleave(VggxInterleave),
    Gather(VggxGather),
    Deliver(VggxDeliver),
    Forward(VggxConvolutionForward),
    Backward(VggxConvolutionBackward),
    HopperForward(VggxHopperForward),
    HopperBackward(VggxHopperBackward),
    AveragePool(VggxAveragePool),
    Unpool(VggxUnpool),
    ChannelSums(VggxChannelSums),
    Start(VggxStart),
    SignalImage(VggxSignalImage),
    Output(VggxOutput),
    MomentFactors(VggxMomentMaps),
    MomentInputs(VggxMomentInputs),
    MomentResponses(VggxMomentResponses),
    Moments(VggxMoments),
    HopperMoments(VggxHopperMoments),
    SecondRegions(VggxSecondRegions),
    SecondPass(VggxSecondPass),
    SecondDense(VggxSecondDense),
}

/// How long a launch took.
pub(super) struct LaunchTimes<'a> {
    pub kernel: &'a str,
    /// What it ran on.
    pub shape: &'a str,
    /// One a repeat.
    pub seconds: Vec<f64>,
}

/// Steps with their kernels.
pub(super) struct Program {
    /// What it is, for messages: "the forward pass on 64 images of 224×224".
    what: String,
    steps: Vec<(Step, Option<Kernel>)>,
    /// Whether it has run once.
    proven: bool,
    graph: Option<Graph>,
}

impl Program {
    pub fn new(device: &Device, what: String, steps: Vec<Step>) -> Result<Self, DeviceError> {
        let steps = steps
            .into_iter()
            .map(|step| {
                let kernel = match &step {
                    Step::Launch { kernel, .. } => Some(device.kernel(kernel)?),
                    _ => None,
                };
                Ok((step, kernel))
            })
            .collect::<Result<_, DeviceError>>()?;
        Ok(Program { what, steps, proven: false, graph: None })
    }

    /// Runs it and waits until it is done: the first time kernel by kernel, so that one that cannot run is named, with what
    /// it ran on; then, with `graphs`, all at once.
    ///
    /// # Safety
    /// Every address in the steps is of device memory that is there and large enough; the memory given is the same at
    /// every call.
    pub unsafe fn run(
        &mut self,
        stream: &Stream,
        pinned: &mut Pinned,
        graphs: bool,
    ) -> Result<(), DeviceError> {
        if !graphs || !self.proven {
            // SAFETY: the caller's.
            unsafe { self.start(stream, pinned, true) }?;
            stream.synchronise()?;
            self.proven = true;
            return Ok(());
        }
        if self.graph.is_none() {
            // SAFETY: the caller's.
            self.graph = Some(stream.capture(|| unsafe { self.start(stream, pinned, false) })?);
        }
        if let Some(graph) = &self.graph {
            let kernels = || {
                let first = self.steps.iter().filter_map(|(_, kernel)| Some(kernel.as_ref()?.name())).next();
                format!("one of {}, from {} on", self.what, first.unwrap_or("none"))
            };
            let shape = || "VGGX_NO_GRAPHS=1 tells which and on what".to_owned();
            // SAFETY: the caller's.
            unsafe { graph.launch(stream) }
                .and_then(|()| stream.synchronise())
                .map_err(|error| error.in_kernel(&kernels(), shape))?;
        }
        Ok(())
    }

    /// Runs every kernel so often, one by one. What the host sends has been sent by an earlier run.
    ///
    /// # Safety
    /// As [`Program::run`].
    pub unsafe fn time(&self, stream: &Stream, repeats: usize) -> Result<Vec<LaunchTimes<'_>>, DeviceError> {
        let (begin, end) = (stream.device().event()?, stream.device().event()?);
        let mut times = Vec::new();
        for (step, kernel) in &self.steps {
            let (Step::Launch { size, parameters, shape, .. }, Some(kernel)) = (step, kernel) else {
                continue;
            };
            let mut seconds = Vec::with_capacity(repeats);
            for _ in 0..repeats {
                begin.record(stream)?;
                // SAFETY: the caller's.
                unsafe { parameters.launch(stream, kernel, *size) }?;
                end.record(stream)?;
                end.synchronise().map_err(|error| error.in_kernel(kernel.name(), || shape.clone()))?;
                seconds.push(f64::from(end.milliseconds_since(&begin)?) / 1e3);
            }
            times.push(LaunchTimes { kernel: kernel.name(), shape, seconds });
        }
        Ok(times)
    }

    /// # Safety
    /// As [`Program::run`].
    unsafe fn start(&self, stream: &Stream, pinned: &mut Pinned, wait: bool) -> Result<(), DeviceError> {
        for (step, kernel) in &self.steps {
            // SAFETY: the caller's for the device; the pinned memory is checked, and stays untouched until `run` has
            // waited.
            unsafe {
                match step {
                    &Step::Upload { address, offset, bytes } => {
                        stream.start_upload(address, pinned.upload.slice(offset, bytes))?;
                    }
                    &Step::Download { address, offset, bytes } => {
                        stream.start_download(pinned.download.slice_mut(offset, bytes), address)?;
                    }
                    &Step::Clear { address, bytes } => stream.start_fill(address, 0, bytes)?,
                    Step::Launch { size, parameters, shape, .. } => {
                        let Some(kernel) = kernel else { continue };
                        let mut started = parameters.launch(stream, kernel, *size);
                        if wait {
                            started = started.and_then(|()| stream.synchronise());
                        }
                        started.map_err(|error| error.in_kernel(kernel.name(), || shape.clone()))?;
                    }
                }
            }
        }
        Ok(())
    }
}
