//! Times kernels one by one, on the data that passes give them: each launch of a pass between two events, with the L2 cache
//! flushed before.

use super::Cuda;
use super::backward::{Detail, Exit, backward};
use super::batch::{fill, geometry};
use super::device::{DeviceError, DeviceMemory, Event, LaunchSize, Stream, bytes_of};
use super::forward::forward;
use super::options::Precision;
use super::params::{
    VGGX_BELOW_POOL, VGGX_LINEAR, VGGX_RECTIFY_POOL, VggxBelow, VggxConvolutionForward, VggxMomentInputs,
    VggxMomentResponses, VggxMoments, VggxOperand, VggxScale, VggxSecondDense, VggxSecondPass,
    VggxSecondRegions,
};
use super::program::{Parameters, Step};
use super::slot::{DevicePass, Engine, Slot};
use super::tiles::Variant;
use crate::backend::profile::{
    Hardware, KernelTime, Part, PartTime, PartsRequest, Profiler, Way, largest_response, median,
};
use crate::backend::{BackendError, Trace};

/// Bytes written between two launches where the driver does not say how large the cache is.
const UNKNOWN_CACHE: usize = 64 << 20;

impl Profiler for Cuda {
    fn hardware(&self) -> Hardware {
        Hardware {
            name: self.engine.device.description().name.clone(),
            element: self.engine.precision.suffix(),
            element_bytes: self.engine.precision.bytes(),
            repeats: 30,
            product_side: 8192,
            copy_bytes: 1 << 30,
        }
    }

    fn time_parts(&self, request: &PartsRequest) -> Result<Vec<PartTime>, BackendError> {
        // What is explained is what responded most: signals from elsewhere may be zeros, and devices run faster on zeros.
        let trace = self.forward_trace(&request.batch)?;
        let targets: Vec<i32> =
            (0..request.batch.images).map(|image| largest_response(trace.responses(image)) as i32).collect();
        drop(trace);
        let mut slot = self.slots.take();
        time_slot(&self.engine, &mut slot, &self.passes.get(request.pass), request, &targets)
    }

    fn time_product(&self, side: usize, repeats: usize) -> Result<Vec<KernelTime>, BackendError> {
        let engine = &self.engine;
        let timer = Timer::new(engine)?;
        let product = Product::new(engine, &timer.stream, side)?;
        let times =
            Variant::all(engine.precision, side, side, side, engine.limits).into_iter().map(|variant| {
                let mut parameters = product.parameters;
                parameters.operand.stages = variant.stages as i32;
                let name = format!("convolution_forward_{}", variant.suffix(engine.precision));
                let seconds = timer.median(engine, &name, variant.size, &parameters.into(), repeats)?;
                Ok(KernelTime { kernel: label(&name, variant.stages), seconds })
            });
        times.collect()
    }

    fn time_copy(&self, bytes: usize, repeats: usize) -> Result<f64, BackendError> {
        let timer = Timer::new(&self.engine)?;
        let from = self.engine.device.allocate(bytes)?;
        let to = self.engine.device.allocate(bytes)?;
        // Noise, doubled until it fills the memory.
        let noise = noise(bytes.min(1 << 20), Precision::F16);
        let mut filled = noise.len().min(bytes);
        timer.stream.upload(&from, 0, &noise[..filled])?;
        while filled < bytes {
            let more = filled.min(bytes - filled);
            // SAFETY: both ranges are within the memory and apart.
            unsafe { timer.stream.start_copy(from.address() + filled as u64, from.address(), more) }?;
            filled += more;
        }
        timer.stream.synchronise()?;
        let mut seconds = Vec::new();
        for round in 0..=repeats.max(1) {
            // SAFETY: both are as large, and stay until the copy is done.
            let time =
                timer.time(|stream| unsafe { stream.start_copy(to.address(), from.address(), bytes) })?;
            if round > 0 {
                seconds.push(time);
            }
        }
        Ok(median(seconds))
    }
}

/// A stream, and what times work on it.
struct Timer {
    stream: Stream,
    cache: DeviceMemory,
    begin: Event,
    end: Event,
}

impl Timer {
    fn new(engine: &Engine) -> Result<Self, DeviceError> {
        let device = &engine.device;
        let cache = match device.description().l2_cache as usize {
            0 => UNKNOWN_CACHE,
            bytes => bytes,
        };
        Ok(Timer {
            stream: device.stream()?,
            cache: device.allocate(2 * cache)?,
            begin: device.event()?,
            end: device.event()?,
        })
    }

    /// Seconds that work takes on the device, with nothing of its data in the cache.
    fn time(&self, work: impl FnOnce(&Stream) -> Result<(), DeviceError>) -> Result<f64, DeviceError> {
        // SAFETY: all of the memory. While it is written the host starts the work, so the device does not wait for it.
        unsafe { self.stream.start_fill(self.cache.address(), 0x5a, self.cache.bytes()) }?;
        self.begin.record(&self.stream)?;
        work(&self.stream)?;
        self.end.record(&self.stream)?;
        self.end.synchronise()?;
        Ok(f64::from(self.end.milliseconds_since(&self.begin)?) / 1e3)
    }

    /// Seconds of one launch.
    fn launch(
        &self,
        engine: &Engine,
        kernel: &str,
        size: LaunchSize,
        parameters: &Parameters,
    ) -> Result<f64, DeviceError> {
        let kernel = engine.device.kernel(kernel)?;
        // SAFETY: the parameters are those of a step of a pass, or of `Product`, whose memory is there.
        self.time(|stream| unsafe { parameters.launch(stream, &kernel, size) })
    }

    fn median(
        &self,
        engine: &Engine,
        kernel: &str,
        size: LaunchSize,
        parameters: &Parameters,
        repeats: usize,
    ) -> Result<f64, DeviceError> {
        self.launch(engine, kernel, size, parameters)?;
        let times: Result<Vec<f64>, _> =
            (0..repeats.max(1)).map(|_| self.launch(engine, kernel, size, parameters)).collect();
        Ok(median(times?))
    }
}

/// A launch and its times.
struct Timed {
    part: Part,
    way: Way,
    kernel: String,
    seconds: Vec<f64>,
    tried: Vec<(String, Vec<f64>)>,
}

fn time_slot(
    engine: &Engine,
    slot: &mut Slot,
    pass: &DevicePass,
    request: &PartsRequest,
    targets: &[i32],
) -> Result<Vec<PartTime>, BackendError> {
    let batch = &request.batch;
    slot.lay_out(engine, geometry(batch))?;
    let (plan, at, pinned) = slot.first_part()?;
    let images = plan.geometry.images;
    if images != batch.images {
        return Err(BackendError::Memory {
            images: batch.images,
            height: batch.height,
            width: batch.width,
            needed: (plan.bytes() / images * batch.images) as u64 >> 20,
            available: engine.device.free_memory()? >> 20,
        });
    }
    let timer = Timer::new(engine)?;
    let forward = forward(plan, at, &engine.network, &engine.names);
    let exit = (Exit::to_host(Detail::Planes), engine.network.pixels.reversed);
    let backward = backward(plan, at, &pass.operators, (pass.gate, pass.start), exit, &engine.names);
    let mut timed: Vec<Timed> = Vec::new();
    // The first round does not count: kernels are loaded, clocks rise.
    for round in 0..=request.repeats.max(1) {
        let mut launches = 0;
        for (way, steps) in [(Way::Forward, &forward), (Way::Backward, &backward)] {
            let upload = pinned.upload.slice_mut(0, plan.upload_bytes());
            match way {
                Way::Forward => {
                    fill(batch, (0, images, images), engine.precision, upload, plan.input_scales_offset());
                }
                Way::Backward => {
                    upload[..plan.request.bytes].fill(0);
                    let mut put =
                        |offset: usize, bytes: &[u8]| upload[offset..][..bytes.len()].copy_from_slice(bytes);
                    put(plan.request.targets, bytes_of(targets));
                    put(plan.request.factors, bytes_of(&vec![1f32; images]));
                }
            }
            let mut layer = if way == Way::Forward { 0 } else { engine.names.len() };
            for step in steps {
                // SAFETY: the steps were made for the addresses of this plan, which stays laid out; what the host holds is
                // waited for before it changes.
                match step {
                    &Step::Upload { address, offset, bytes } => unsafe {
                        timer.stream.start_upload(address, pinned.upload.slice(offset, bytes))?;
                        timer.stream.synchronise()?;
                    },
                    &Step::Clear { address, bytes } => unsafe {
                        timer.stream.start_fill(address, 0, bytes)?;
                    },
                    Step::Download { .. } => {}
                    Step::Launch { kernel, size, parameters, .. } => {
                        let part = part_of(parameters, &mut layer, engine.precision);
                        if round == 0 {
                            let kernel = match operand_of(parameters) {
                                Some(operand) if operand.taps == 1 || operand.channels > 3 => {
                                    label(kernel, operand.stages as usize)
                                }
                                _ => kernel.clone(),
                            };
                            let variants = variants(engine, request, kernel.as_str(), parameters);
                            let tried =
                                variants.iter().map(|variant| (variant.0.clone(), Vec::new())).collect();
                            timed.push(Timed { part, way, kernel, seconds: Vec::new(), tried });
                        }
                        let seconds = timer.launch(engine, kernel, *size, parameters)?;
                        let entry = &mut timed[launches];
                        launches += 1;
                        if round == 0 {
                            continue;
                        }
                        entry.seconds.push(seconds);
                        // They write what is there already, bit for bit.
                        let variants = variants(engine, request, kernel, parameters);
                        for ((_, times), (_, name, size, parameters)) in entry.tried.iter_mut().zip(variants)
                        {
                            times.push(timer.launch(engine, &name, size, &parameters)?);
                        }
                    }
                }
            }
        }
    }
    let time = |timed: Timed| PartTime {
        part: timed.part,
        way: timed.way,
        kernel: timed.kernel,
        seconds: median(timed.seconds),
        tried: timed
            .tried
            .into_iter()
            .map(|(kernel, seconds)| KernelTime { kernel, seconds: median(seconds) })
            .collect(),
    };
    Ok(timed.into_iter().map(time).collect())
}

fn label(kernel: &str, stages: usize) -> String {
    format!("{kernel}, {stages} stages")
}

/// Every way to run a convolution or a dense layer, with a label, where all are to be tried. The image's kernels have only one.
fn variants(
    engine: &Engine,
    request: &PartsRequest,
    kernel: &str,
    parameters: &Parameters,
) -> Vec<(String, String, LaunchSize, Parameters)> {
    let (Some(operand), true) = (operand_of(parameters), request.every_kernel) else { return Vec::new() };
    let base = match parameters {
        Parameters::Forward(_) if kernel.starts_with("convolution_image") => return Vec::new(),
        Parameters::Forward(_) => "convolution_forward",
        _ => "convolution_backward",
    };
    let pooled = matches!(parameters, Parameters::Forward(forward) if forward.epilogue == VGGX_RECTIFY_POOL);
    let (height, width) = (operand.height as usize, operand.width as usize);
    let positions = if pooled { 4 * height.div_ceil(2) * width.div_ceil(2) } else { height * width };
    let rows = operand.images as usize * positions;
    let depth = (operand.taps * operand.channels) as usize;
    Variant::all(engine.precision, rows, operand.outputs as usize, depth, engine.limits)
        .into_iter()
        .map(|variant| {
            let name = format!("{base}_{}", variant.suffix(engine.precision));
            let mut parameters = parameters.clone();
            match &mut parameters {
                Parameters::Forward(forward) => forward.operand.stages = variant.stages as i32,
                Parameters::Backward(backward) => backward.operand.stages = variant.stages as i32,
                _ => {}
            }
            (label(&name, variant.stages), name, variant.size, parameters)
        })
        .collect()
}

fn operand_of(parameters: &Parameters) -> Option<&VggxOperand> {
    match parameters {
        Parameters::Forward(forward) => Some(&forward.operand),
        Parameters::Backward(backward) => Some(&backward.operand),
        _ => None,
    }
}

/// Which part a launch is. Layers come in their order forward, and in the reverse order backward; `layer` counts them.
fn part_of(parameters: &Parameters, layer: &mut usize, precision: Precision) -> Part {
    let element = precision.bytes();
    let count = |factors: &[i32]| factors.iter().map(|&factor| factor as usize).product::<usize>();
    // What is stored below a pool is the map under it.
    let stored = |below: &VggxBelow, height: i32, width: i32| match below.below {
        kind if kind == VGGX_BELOW_POOL => count(&[below.unpooled_height, below.unpooled_width]),
        _ => count(&[height, width]),
    };
    let (name, bytes) = match parameters {
        Parameters::Forward(_) => {
            *layer += 1;
            return Part::Layer(*layer - 1);
        }
        Parameters::Backward(_) => {
            *layer -= 1;
            return Part::Layer(*layer);
        }
        Parameters::SignalImage(_) => return Part::Layer(0),
        Parameters::Normalise(p) => ("normalise", count(&[p.images, p.positions, 3]) * (1 + element)),
        Parameters::Interleave(p) => ("normalise", count(&[p.images, p.positions, 3]) * (4 + element)),
        // Of each of its kernels the planes are the most.
        Parameters::Gather(p) => {
            ("normalise", count(&[p.images, p.height, p.width, 3]) * (size_of::<f32>() + element))
        }
        Parameters::Deliver(p) => {
            ("deliver", 2 * count(&[p.images, p.positions, p.channels]) * size_of::<f32>())
        }
        Parameters::AveragePool(p) => {
            let map =
                if p.output == 0 { stored(&p.below, p.height, p.width) } else { count(&[p.height, p.width]) };
            ("average pool", count(&[p.images, p.channels]) * (map + count(&[p.side, p.side])) * element)
        }
        Parameters::ChannelSums(p) => (
            "responses",
            count(&[p.images, p.channels]) * (count(&[p.positions]) * element + size_of::<f64>()),
        ),
        Parameters::Start(p) => ("start", count(&[p.images, p.positions, p.channels]) * element),
        Parameters::Unpool(p) => {
            let maps = count(&[p.height, p.width]) + stored(&p.below, p.height, p.width);
            ("unpool", count(&[p.images, p.channels]) * maps * element)
        }
        // Of no pass that is timed.
        Parameters::SecondRegions(VggxSecondRegions { maps, .. })
        | Parameters::SecondPass(VggxSecondPass { maps, .. })
        | Parameters::SecondDense(VggxSecondDense { maps, .. }) => {
            ("second moments", count(&[maps.images, maps.height, maps.width, maps.channels]) * element)
        }
        Parameters::MomentFactors(maps)
        | Parameters::MomentInputs(VggxMomentInputs { maps, .. })
        | Parameters::MomentResponses(VggxMomentResponses { maps, .. })
        | Parameters::Moments(VggxMoments { maps, .. }) => (
            "moments",
            count(&[maps.images, maps.height, maps.width, maps.channels + maps.outputs]) * element,
        ),
        Parameters::Output(p) => ("output", 2 * count(&[p.images, p.positions, 3]) * size_of::<f32>()),
    };
    Part::Step { name, bytes: bytes as u64 }
}

/// A square matrix product, as a dense layer with as many images as outputs.
struct Product {
    parameters: VggxConvolutionForward,
    _memory: Vec<DeviceMemory>,
}

impl Product {
    fn new(engine: &Engine, stream: &Stream, side: usize) -> Result<Self, DeviceError> {
        let (device, element) = (&engine.device, engine.precision.bytes());
        let input = device.allocate(side * side * element)?;
        let operator = device.allocate(side * side * element)?;
        let output = device.allocate(side * side * size_of::<f32>())?;
        // Bias, the input's largest and exponents, the output's.
        let lists: Vec<DeviceMemory> =
            (0..5).map(|_| device.allocate(side * size_of::<u32>())).collect::<Result<_, _>>()?;
        let values = noise(side * side * element, engine.precision);
        stream.upload(&input, 0, &values)?;
        // Other noise: the same, turned around.
        let turned: Vec<u8> = values.chunks_exact(element).rev().flatten().copied().collect();
        stream.upload(&operator, 0, &turned)?;
        for list in &lists {
            stream.fill(list, 0)?;
        }
        stream.upload(&lists[1], 0, &vec![1f32.to_bits(); side])?;
        let scale = |first: usize| VggxScale {
            largest: lists[first].address(),
            exponent: lists[first + 1].address(),
        };
        let operand = VggxOperand {
            input: input.address(),
            input_scale: scale(1),
            operator_: operator.address(),
            // No value exceeds one.
            operator_bound: side as f32,
            operator_gain: 0,
            images: side as i32,
            height: 1,
            width: 1,
            channels: side as i32,
            outputs: side as i32,
            taps: 1,
            stages: 2,
            reserved: 0,
        };
        let parameters = VggxConvolutionForward {
            operand,
            bias: lists[0].address(),
            bias_bound: 0.0,
            epilogue: VGGX_LINEAR,
            output: output.address(),
            output_scale: scale(3),
            mask: 0,
            argmax: 0,
            pre_activation: 0,
        };
        let mut memory = vec![input, operator, output];
        memory.extend(lists);
        Ok(Product { parameters, _memory: memory })
    }
}

/// Uniform in [-1, 1) in the type of elements; a linear congruential generator is as good as any here.
fn noise(bytes: usize, precision: Precision) -> Vec<u8> {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut noise = Vec::with_capacity(bytes + 4);
    while noise.len() < bytes {
        match precision {
            Precision::F32 => noise.extend(random().to_ne_bytes()),
            Precision::F16 => noise.extend(half::f16::from_f32(random()).to_ne_bytes()),
            Precision::Bf16 => noise.extend(half::bf16::from_f32(random()).to_ne_bytes()),
        }
    }
    noise.truncate(bytes);
    noise
}
