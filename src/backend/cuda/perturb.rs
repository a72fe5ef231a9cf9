//! Copies of images in which patches are replaced. The images stay on the device; ranks go there with every batch of copies,
//! which the forward pass then reads as it reads pixels of callers.

use super::Cuda;
use super::callers::{DevicePixels, PixelFormat};
use super::device::{DeviceError, DeviceMemory, LaunchSize, PinnedMemory, Stream};
use super::params::{VggxAlteredCopy, VggxPatches, VggxReplacePatches};
use super::plan::per_image;
use crate::backend::perturb::{check_copies, check_images, responses};
use crate::backend::{AlteredCopy, BackendError, Batch, Filling, First, PatchGrid, Perturber, Pixels};
use std::time::Duration;

/// Threads of a block of the kernels that run a thread a patch.
const PATCH_THREADS: u32 = 64;

/// Images on the device, and what their patches are replaced with.
pub(super) struct CudaPerturber<'a> {
    cuda: &'a Cuda,
    stream: Stream,
    grid: PatchGrid,
    count: usize,
    images: DeviceMemory,
    fillings: DeviceMemory,
    room: Option<Room>,
}

/// What a batch of copies takes.
struct Room {
    copies: usize,
    /// Their ranks, and behind them what is replaced by them: as the host writes it, and on the device.
    upload: PinnedMemory,
    request: DeviceMemory,
    /// float32 \[copies, 3, height, width\].
    output: DeviceMemory,
    /// Of every copy in `output`.
    addresses: Vec<u64>,
}

impl<'a> CudaPerturber<'a> {
    pub fn new(
        cuda: &'a Cuda,
        images: &[f32],
        count: usize,
        grid: PatchGrid,
        filling: Filling,
    ) -> Result<Self, BackendError> {
        check_images(images.len(), count, grid)?;
        cuda.network.extents(grid.height, grid.width)?;
        let stream = cuda.engine.device.stream()?;
        let bytes = size_of_val(images);
        let memory = allocate(cuda, bytes)?;
        let fillings = allocate(cuda, bytes)?;
        stream.upload(&memory, 0, images)?;
        let perturber = CudaPerturber { cuda, stream, grid, count, images: memory, fillings, room: None };
        match filling {
            Filling::PatchMeans => perturber.fill_with_means()?,
            Filling::Images(from) => {
                check_images(from.len(), count, grid)?;
                perturber.stream.upload(&perturber.fillings, 0, from)?;
            }
        }
        Ok(perturber)
    }

    fn fill_with_means(&self) -> Result<(), BackendError> {
        let parameters = VggxPatches {
            values: self.images.address(),
            means: self.fillings.address(),
            ..self.patches(self.count)
        };
        Ok(self.run("patch_means", 3 * self.grid.patches(), &parameters)?)
    }

    fn patches(&self, maps: usize) -> VggxPatches {
        VggxPatches {
            maps: maps as i32,
            height: self.grid.height as i32,
            width: self.grid.width as i32,
            side: self.side(),
            ..VggxPatches::default()
        }
    }

    /// A patch that is larger than the image is as large as it.
    fn side(&self) -> i32 {
        self.grid.side.min(self.grid.height.max(self.grid.width)) as i32
    }

    /// Runs a kernel with one thread for each of `threads` patches of a map, and waits for it.
    fn run(&self, kernel: &str, threads: usize, parameters: &VggxPatches) -> Result<(), DeviceError> {
        if parameters.maps == 0 {
            return Ok(());
        }
        let blocks = threads.div_ceil(PATCH_THREADS as usize) as u32;
        let size =
            LaunchSize { grid: [blocks, parameters.maps as u32, 1], threads: PATCH_THREADS, shared: 0 };
        let shape = || format!("{} maps, {:?}", parameters.maps, self.grid);
        let kernel = self.cuda.engine.device.kernel(kernel)?;
        // SAFETY: the callers give memory for as many maps of this grid, which outlives the kernel: it is waited for.
        unsafe { self.stream.launch(&kernel, size, parameters) }?;
        self.stream.synchronise().map_err(|error| error.in_kernel(kernel.name(), shape))
    }

    /// Makes room for so many copies.
    fn reserve(&mut self, copies: usize) -> Result<(), BackendError> {
        if self.room.as_ref().is_some_and(|room| room.copies >= copies) {
            return Ok(());
        }
        self.room = None;
        let bytes = copies * (self.grid.patches() * size_of::<u32>() + size_of::<VggxAlteredCopy>());
        let image = self.grid.values() * size_of::<f32>();
        let output = allocate(self.cuda, copies * image)?;
        self.room = Some(Room {
            copies,
            upload: self.cuda.engine.device.allocate_pinned(bytes)?,
            request: allocate(self.cuda, bytes)?,
            addresses: (0..copies).map(|copy| output.address() + (copy * image) as u64).collect(),
            output,
        });
        Ok(())
    }

    /// Starts writing copies, into the room that there is for them.
    fn replace(&mut self, copies: &[AlteredCopy]) -> Result<(), DeviceError> {
        let (patches, side) = (self.grid.patches(), self.side());
        let Some(Room { upload, request, output, .. }) = &mut self.room else { return Ok(()) };
        let ranks = upload.slice_mut::<u32>(0, copies.len() * patches);
        for (ranks, copy) in ranks.chunks_exact_mut(patches).zip(copies) {
            ranks.copy_from_slice(copy.ranks);
        }
        let behind = size_of_val(ranks);
        let (four, _) = upload.slice_mut::<u32>(behind, 4 * copies.len()).as_chunks_mut::<4>();
        for (words, copy) in four.iter_mut().zip(copies) {
            // As VggxAlteredCopy has them.
            *words = [copy.image as u32, copy.replaced.start, copy.replaced.end, 0];
        }
        let bytes = behind + copies.len() * size_of::<VggxAlteredCopy>();
        let parameters = VggxReplacePatches {
            images: self.images.address(),
            fillings: self.fillings.address(),
            copies: request.address() + behind as u64,
            ranks: request.address(),
            output: output.address(),
            height: self.grid.height as i32,
            width: self.grid.width as i32,
            side,
            reserved: 0,
        };
        let size = per_image(self.grid.height * self.grid.width, 1024, copies.len());
        let kernel = self.cuda.engine.device.kernel("replace_patches")?;
        // SAFETY: `reserve` has made room for so many copies; `respond` waits before the room is used again.
        unsafe {
            self.stream.start_upload(request.address(), upload.slice(0, bytes))?;
            self.stream.launch(&kernel, size, &parameters)
        }
    }

    /// Runs the copies forward that have been written.
    fn forward(&self, copies: usize) -> Result<Vec<Result<Vec<f32>, BackendError>>, BackendError> {
        let Some(room) = &self.room else { return Ok(Vec::new()) };
        let PatchGrid { height, width, .. } = self.grid;
        let (addresses, stream) = (&room.addresses[..copies], self.stream.as_callers());
        // SAFETY: whole images in memory of this context, which nothing writes but the stream.
        let pixels = unsafe {
            DevicePixels::new(addresses, PixelFormat::Normalised, width * size_of::<f32>(), stream)
        };
        let batch = Batch { images: copies, height, width, pixels: Pixels::Device(pixels) };
        let trace = self.cuda.forward_trace(&batch)?;
        Ok(responses(&trace, copies))
    }
}

impl Perturber for CudaPerturber<'_> {
    fn rank(&mut self, maps: &[f32], absolute: bool, first: First) -> Result<Vec<u32>, BackendError> {
        let patches = self.grid.patches();
        assert!(maps.len().is_multiple_of(self.grid.values()), "{} values of maps", maps.len());
        let count = maps.len() / self.grid.values();
        let values = allocate(self.cuda, size_of_val(maps))?;
        let sums = allocate(self.cuda, count * patches * size_of::<f64>())?;
        let ranked = allocate(self.cuda, count * patches * size_of::<u32>())?;
        self.stream.upload(&values, 0, maps)?;
        let parameters = VggxPatches {
            values: values.address(),
            sums: sums.address(),
            ranks: ranked.address(),
            absolute: i32::from(absolute),
            least_first: i32::from(first == First::Smallest),
            ..self.patches(count)
        };
        self.run("patch_sums", patches, &parameters)?;
        self.run("patch_ranks", patches, &parameters)?;
        let mut ranks = vec![0; count * patches];
        self.stream.download(&mut ranks, &ranked, 0)?;
        Ok(ranks)
    }

    fn respond(
        &mut self,
        copies: &[AlteredCopy],
    ) -> Result<Vec<Result<Vec<f32>, BackendError>>, BackendError> {
        check_copies(copies, self.count, self.grid.patches());
        if copies.is_empty() {
            return Ok(Vec::new());
        }
        self.reserve(copies.len())?;
        let started = self.replace(copies);
        let responses = match started {
            Ok(()) => self.forward(copies.len()),
            Err(error) => Err(error.into()),
        };
        // Also where the forward pass failed before it waited: the host writes the request anew.
        self.stream.synchronise()?;
        responses
    }
}

/// Memory on the device, of passes that are over where there is not enough else.
fn allocate(cuda: &Cuda, bytes: usize) -> Result<DeviceMemory, DeviceError> {
    match cuda.engine.device.allocate(bytes) {
        Err(error) if error.is_out_of_memory() && cuda.slots.reclaim(Duration::ZERO) => {
            cuda.engine.device.allocate(bytes)
        }
        allocated => allocated,
    }
}

// The request is written as words.
const _: () = assert!(size_of::<VggxAlteredCopy>() == 4 * size_of::<u32>());
