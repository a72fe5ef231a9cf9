//! Work that was captured once and is launched as a whole.

use super::context::{Device, whole_context};
use super::error::{DeviceError, check};
use super::stream::Stream;
use cudarc::driver::sys::{self, CUgraph, CUgraphExec, CUstreamCaptureMode};

/// Captured work with all its addresses.
pub struct Graph {
    device: Device,
    handle: CUgraphExec,
}

// SAFETY: launched through `&self`, which the driver orders by the stream.
unsafe impl Send for Graph {}
// SAFETY: as above.
unsafe impl Sync for Graph {}

impl Stream {
    /// Captures what `work` starts on this stream, instead of running it. `work` must not wait for the device, nor free
    /// memory.
    ///
    /// # Errors
    /// What `work` returns, or when something in it cannot be captured.
    pub fn capture<E: From<DeviceError>>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<Graph, E> {
        let _current = self.device().enter()?;
        let _alone = whole_context();
        // Other threads go on allocating and launching meanwhile.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is this one's.
        check("cuStreamBeginCapture", unsafe { sys::cuStreamBeginCapture_v2(self.handle(), mode) })?;
        let capture = Capture(self);
        let result = work();
        let captured = capture.end();
        result?;
        let captured = captured?;
        let mut handle: CUgraphExec = std::ptr::null_mut();
        // SAFETY: a graph that was captured; writes the handle.
        let code = unsafe { sys::cuGraphInstantiateWithFlags(&mut handle, captured.0, 0) };
        check("cuGraphInstantiate", code)?;
        Ok(Graph { device: self.device().clone(), handle })
    }
}

/// A capture that was begun. It ends also when the work panics: a stream that went on capturing could never be used again.
struct Capture<'a>(&'a Stream);

impl Capture<'_> {
    fn end(self) -> Result<Captured, DeviceError> {
        let mut captured: CUgraph = std::ptr::null_mut();
        // SAFETY: a capture was begun; writes the handle.
        let ended =
            check("cuStreamEndCapture", unsafe { sys::cuStreamEndCapture(self.0.handle(), &mut captured) });
        std::mem::forget(self);
        ended.map(|()| Captured(captured))
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        let mut captured: CUgraph = std::ptr::null_mut();
        // SAFETY: as in `end`.
        let _ = unsafe { sys::cuStreamEndCapture(self.0.handle(), &mut captured) };
        drop(Captured(captured));
    }
}

/// Freed when dropped: what is launched is its instance.
struct Captured(CUgraph);

impl Drop for Captured {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: captured just before, and owned alone.
            let _ = unsafe { sys::cuGraphDestroy(self.0) };
        }
    }
}

impl Graph {
    /// Starts the work on a stream.
    ///
    /// # Safety
    /// Everything that the captured work has addresses of is still there.
    ///
    /// # Errors
    /// When it cannot start.
    pub unsafe fn launch(&self, stream: &Stream) -> Result<(), DeviceError> {
        let _current = self.device.enter()?;
        // SAFETY: the caller's.
        check("cuGraphLaunch", unsafe { sys::cuGraphLaunch(self.handle, stream.handle()) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if let Ok(_current) = self.device.enter() {
            // SAFETY: instantiated by `capture`; launches that are under way go on.
            let _ = unsafe { sys::cuGraphExecDestroy(self.handle) };
        }
    }
}
