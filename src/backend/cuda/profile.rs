//! Times kernels one by one, on the data that passes give them: each launch of a pass between two events, with the L2 cache
//! flushed before. Where a layer runs for parts of the batch, its time is the sum over them, and only the first launch of each part
//! finds nothing in the cache.

use super::Cuda;
use super::backward::{Detail, Exit, backward};
use super::batch::{fill, geometry};
use super::device::{DeviceError, DeviceMemory, Event, LaunchSize, Stream, bytes_of};
use super::float8::Float8Signals;
use super::forward::forward;
use super::options::Precision;
use super::params::{
    VGGX_BELOW_POOL, VGGX_LINEAR, VGGX_RECTIFY_POOL, VggxBelow, VggxConvolutionForward, VggxHopperMoments,
    VggxMomentInputs, VggxMomentResponses, VggxMoments, VggxOperand, VggxScale, VggxSecondDense,
    VggxSecondPass, VggxSecondRegions,
};
use super::program::{LaunchPlace, Parameters, Step};
use super::slot::{DevicePass, Engine, Slot};
use super::tiles::Variant;
use super::warpgroups::{self, BoxVariant};
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
            element: self.engine.precision.name(),
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
        self.flush()?;
        self.begin.record(&self.stream)?;
        work(&self.stream)?;
        self.end.record(&self.stream)?;
        self.end.synchronise()?;
        Ok(f64::from(self.end.milliseconds_since(&self.begin)?) / 1e3)
    }

    /// Puts other data into the cache.
    fn flush(&self) -> Result<(), DeviceError> {
        // SAFETY: all of the memory. While it is written the host starts the work, so the device does not wait for it.
        unsafe { self.stream.start_fill(self.cache.address(), 0x5a, self.cache.bytes()) }
    }

    /// Seconds of each of several launches, one behind the other, of which the first finds nothing in the cache.
    fn chain(&self, engine: &Engine, launches: &[TimedLaunch]) -> Result<Vec<f64>, DeviceError> {
        let events: Vec<Event> =
            (0..=launches.len()).map(|_| engine.device.event()).collect::<Result<_, _>>()?;
        let kernels: Vec<_> =
            launches.iter().map(|launch| engine.device.kernel(launch.kernel)).collect::<Result<_, _>>()?;
        self.flush()?;
        events[0].record(&self.stream)?;
        for ((launch, kernel), end) in launches.iter().zip(&kernels).zip(&events[1..]) {
            // SAFETY: as in `launch`.
            unsafe { launch.parameters.launch(&self.stream, kernel, launch.size) }?;
            end.record(&self.stream)?;
        }
        events[launches.len()].synchronise()?;
        let seconds = |pair: &[Event]| Ok(f64::from(pair[1].milliseconds_since(&pair[0])?) / 1e3);
        events.windows(2).map(seconds).collect()
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

/// A launch of a pass.
struct TimedLaunch<'a> {
    kernel: &'a str,
    size: LaunchSize,
    parameters: &'a Parameters,
    place: LaunchPlace,
}

/// A launch, for all parts of the batch, and its times.
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
    let forward = forward(plan, at, &engine.network, &engine.names)?;
    let exit = (Exit::to_host(Detail::Planes), engine.network.pixels.reversed);
    let backward = backward(plan, at, &pass.operators, (pass.gate, pass.start), exit, &engine.names)?;
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
            let mut steps = steps.iter().peekable();
            while let Some(step) = steps.next() {
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
                    Step::Launch { .. } => {
                        let follows =
                            |step: &&&Step| launched(step).is_some_and(|launch| launch.place.follows);
                        let followers = std::iter::from_fn(|| steps.next_if(|step| follows(&step)));
                        let chain: Vec<_> =
                            std::iter::once(step).chain(followers).filter_map(launched).collect();
                        let times = timer.chain(engine, &chain)?;
                        for (launch, seconds) in chain.iter().zip(times) {
                            let part = part_of(launch, engine.precision);
                            // Parts run through the same layers in the same order.
                            let known = (launch.place.first > 0)
                                .then(|| {
                                    timed.iter().position(|timed| (timed.way, timed.part) == (way, part))
                                })
                                .flatten();
                            let index = known.unwrap_or(launches);
                            launches += usize::from(known.is_none());
                            if round == 0 {
                                if known.is_none() {
                                    timed.push(Timed::new(engine, request, way, part, launch));
                                }
                                continue;
                            }
                            let entry = &mut timed[index];
                            add(&mut entry.seconds, known.is_some(), seconds);
                            // They write what is there already, bit for bit within a path and to rounding across paths.
                            let variants = variants(engine, request, launch);
                            for ((_, times), (_, name, size, parameters)) in
                                entry.tried.iter_mut().zip(variants)
                            {
                                let seconds = timer.launch(engine, &name, size, &parameters)?;
                                add(times, known.is_some(), seconds);
                            }
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

impl Timed {
    fn new(engine: &Engine, request: &PartsRequest, way: Way, part: Part, launch: &TimedLaunch) -> Self {
        let &TimedLaunch { kernel, parameters, .. } = launch;
        let tried = variants(engine, request, launch);
        let tried = tried.into_iter().map(|variant| (variant.0, Vec::new())).collect();
        let kernel = match (operand_of(parameters), parameters) {
            (_, Parameters::HopperForward(launched)) => warpgroups::label(kernel, &launched.boxes),
            (_, Parameters::HopperBackward(launched)) => warpgroups::label(kernel, &launched.boxes),
            (Some(operand), _) if operand.taps == 1 || operand.channels > 3 => {
                label(kernel, operand.stages as usize)
            }
            _ => kernel.to_owned(),
        };
        Timed { part, way, kernel, seconds: Vec::new(), tried }
    }
}

/// A time of this round: of a part behind the first one it is added to what the others took.
fn add(times: &mut Vec<f64>, to_last: bool, seconds: f64) {
    match times.last_mut() {
        Some(last) if to_last => *last += seconds,
        _ => times.push(seconds),
    }
}

/// The launch that a step is, if it is one.
fn launched(step: &Step) -> Option<TimedLaunch<'_>> {
    match step {
        Step::Launch { kernel, size, parameters, place, .. } => {
            Some(TimedLaunch { kernel, size: *size, parameters, place: *place })
        }
        _ => None,
    }
}

fn label(kernel: &str, stages: usize) -> String {
    format!("{kernel}, {stages} stages")
}

/// Every way to run a convolution or a dense layer, with a label, where all are to be tried. The image's kernels have only one; where
/// layers run for parts of the batch, what they read is gone when the others have run.
fn variants(
    engine: &Engine,
    request: &PartsRequest,
    &TimedLaunch { kernel, parameters, place, .. }: &TimedLaunch,
) -> Vec<(String, String, LaunchSize, Parameters)> {
    if place.in_part {
        return Vec::new();
    }
    let (Some(operand), true) = (operand_of(parameters), request.every_kernel) else { return Vec::new() };
    if kernel.starts_with("hopper_backward") && kernel.contains("f8") {
        // No other kernel reads or writes float8.
        return Vec::new();
    }
    let portable = match parameters {
        Parameters::HopperForward(forward) => forward.layer.into(),
        Parameters::HopperBackward(backward) => backward.layer.into(),
        other => other.clone(),
    };
    let base = match portable {
        Parameters::Forward(_) if kernel.starts_with("convolution_image") => return Vec::new(),
        Parameters::Forward(_) => "convolution_forward",
        _ => "convolution_backward",
    };
    let pooled = matches!(&portable, Parameters::Forward(forward) if forward.epilogue == VGGX_RECTIFY_POOL);
    let (height, width) = (operand.height as usize, operand.width as usize);
    let positions = if pooled { 4 * height.div_ceil(2) * width.div_ceil(2) } else { height * width };
    let rows = operand.images as usize * positions;
    let depth = (operand.taps * operand.channels) as usize;
    Variant::all(engine.precision, rows, operand.outputs as usize, depth, engine.limits)
        .into_iter()
        .map(|variant| {
            let name = format!("{base}_{}", variant.suffix(engine.precision));
            let mut parameters = portable.clone();
            match &mut parameters {
                Parameters::Forward(forward) => forward.operand.stages = variant.stages as i32,
                Parameters::Backward(backward) => backward.operand.stages = variant.stages as i32,
                _ => {}
            }
            (label(&name, variant.stages), name, variant.size, parameters)
        })
        .chain(box_variants(engine, &portable, operand, pooled))
        .collect()
}

/// Every tile of warpgroups, where they run the layer.
fn box_variants(
    engine: &Engine,
    portable: &Parameters,
    operand: &VggxOperand,
    pooled: bool,
) -> Vec<(String, String, LaunchSize, Parameters)> {
    let extents = [operand.images, operand.height, operand.width].map(|extent| extent as usize);
    let extents = (extents[0], extents[1], extents[2]);
    let channels = (operand.channels as usize, operand.outputs as usize);
    let chosen = BoxVariant::choose(engine.precision, extents, channels, pooled, engine.limits);
    if operand.taps == 1 || chosen.is_none() {
        return Vec::new();
    }
    let variant = |variant: BoxVariant| {
        let (way, boxes, parameters): (_, _, Parameters) = match portable {
            Parameters::Forward(layer) => {
                let forward = variant.forward(*layer).ok()?;
                ("forward", forward.boxes, forward.into())
            }
            Parameters::Backward(layer) => {
                let backward = variant.backward(*layer, Float8Signals::default()).ok()?;
                ("backward", backward.boxes, backward.into())
            }
            _ => return None,
        };
        let name = variant.kernel(way, engine.precision.suffix());
        Some((warpgroups::label(&name, &boxes), name, variant.size, parameters))
    };
    BoxVariant::all(extents, channels, pooled, engine.limits).into_iter().filter_map(variant).collect()
}

fn operand_of(parameters: &Parameters) -> Option<&VggxOperand> {
    match parameters {
        Parameters::Forward(forward) => Some(&forward.operand),
        Parameters::Backward(backward) => Some(&backward.operand),
        Parameters::HopperForward(forward) => Some(&forward.layer.operand),
        Parameters::HopperBackward(backward) => Some(&backward.layer.operand),
        _ => None,
    }
}

/// Which part of the pass a launch is.
fn part_of(launch: &TimedLaunch, precision: Precision) -> Part {
    if let Some(layer) = launch.place.layer {
        return Part::Layer(layer);
    }
    let element = precision.bytes();
    let count = |factors: &[i32]| factors.iter().map(|&factor| factor as usize).product::<usize>();
    // What is stored below a pool is the map under it.
    let stored = |below: &VggxBelow, height: i32, width: i32| match below.below {
        kind if kind == VGGX_BELOW_POOL => count(&[below.unpooled_height, below.unpooled_width]),
        _ => count(&[height, width]),
    };
    let (name, bytes) = match launch.parameters {
        // Always of a layer.
        Parameters::Forward(_)
        | Parameters::Backward(_)
        | Parameters::HopperForward(_)
        | Parameters::HopperBackward(_)
        | Parameters::SignalImage(_) => ("convolution", 0),
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
        | Parameters::Moments(VggxMoments { maps, .. })
        | Parameters::HopperMoments(VggxHopperMoments { layer: VggxMoments { maps, .. }, .. }) => (
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
            Precision::F16 | Precision::F8 => noise.extend(half::f16::from_f32(random()).to_ne_bytes()),
            Precision::Bf16 => noise.extend(half::bf16::from_f32(random()).to_ne_bytes()),
        }
    }
    noise.truncate(bytes);
    noise
}
