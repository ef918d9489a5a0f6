//! A lane: a command queue of the device with buffers for one batch of tiles at a time (`strings` in code).
//!
//! Tiles from the host are copied to the device before [`Lane::start`] returns, so that the driver never refers to
//! memory of a caller. The kernels of one lane run while another lane copies.

use super::device::Device;
use super::opencl::{self, Failure, Handle, Object, check};
use super::{Batch, Hashed, RESIDUES, Strings};
use crate::base::buffer::{try_collect, try_filled, try_vec};
use std::ffi::CStr;
use std::ptr;
use zeroize::Zeroizing;

/// Maximum number of bytes of a string to hash, which is the size of a full tile.
const MAX_LEN: usize = crate::base::units::TILE_SIZE;
const CHUNK: usize = 1024;
/// Number of chunks of 1 KiB in the longest tile.
const CHUNKS: usize = MAX_LEN / CHUNK;
/// Number of work items in a work-group. The same for all launches, because some drivers compile a kernel for
/// each size.
const GROUP_ITEMS: usize = 64;
/// Each tile begins at a multiple of this in the buffer of a batch, so that the kernels can read it by words.
const ALIGNMENT: usize = 64;
/// Bytes of the result of a tile: its digest, and the residues of its groups of 16 KiB.
const RESULT_BYTES: usize = 32 + RESIDUES;
/// Bytes that describe the position of a tile to the kernels: its offset, its length, and a reserved word.
const PLACE_BYTES: usize = 16;
/// Number of bytes of a BLAKE3 chaining value.
const VALUE_BYTES: usize = 32;
/// Number of bytes of a group of 16 chunks.
const GROUP: usize = 16 * CHUNK;
/// Number of nodes of the hash tree that a work item of the kernel `parents` joins.
const JOINED: usize = 8;
/// Maximum number of tree nodes of a tile above its chunks: its groups, and an eighth as many above them.
const NODES: usize = RESIDUES + RESIDUES / JOINED;

/// BLAKE3's flag KEYED_HASH, for a digest with a key.
const KEYED: u32 = 16;
/// BLAKE3's initial value, which is used like a key for the digest without a key.
const INITIAL: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];

/// Bytes of device memory that a lane needs for each tile that already lies on the device: chaining values,
/// sums, results and position.
pub(super) const FOOTPRINT_IN_PLACE: u64 =
    (VALUE_BYTES * (CHUNKS + NODES) + 4 * CHUNKS + RESULT_BYTES + PLACE_BYTES) as u64;
/// Bytes of device memory that a lane needs for each tile from the host, whose bytes are copied there.
pub(super) const FOOTPRINT: u64 = MAX_LEN as u64 + FOOTPRINT_IN_PLACE;

pub(super) type Outcome<T> = std::result::Result<T, Failure>;

/// A command queue with the kernels and buffers for one batch at a time.
pub(super) struct Lane {
    queue: Object,
    chunks: Kernel,
    groups: Kernel,
    parents: Kernel,
    /// Device buffer for the bytes of tiles from the host. Made by the first batch of such tiles.
    input: Option<Object>,
    places: Object,
    /// Device buffer for the chaining values of all chunks.
    values: Object,
    /// Device buffers for the chaining values of groups, and, in `above`, of eight groups each.
    nodes: Object,
    above: Object,
    sums: Object,
    results: Object,
    /// Copy of the results in memory of the host. The device may write to it until the event of the batch has
    /// ended.
    fetched: Vec<u8>,
    /// Maximum number of tiles of a batch.
    capacity: usize,
    /// Maximum number of tiles of a batch from the host, at most `capacity`.
    host_capacity: usize,
    /// Copy of the chaining values of the groups in memory of the host, if the batch asks for them.
    fetched_groups: Vec<u8>,
    /// True once a batch of tiles from the host has ended: the first one takes longer, because buffers are
    /// made.
    pub(super) is_warm: bool,
    running: Option<Started>,
}

/// The batch that the lane has started and whose results are not taken yet.
struct Started {
    /// Length of each tile of the batch.
    lens: Vec<usize>,
    /// True if the chaining values of the groups are copied to the host.
    with_groups: bool,
    /// Event of OpenCL that ends when the results are in memory of the host.
    event: Object,
}

struct Kernel {
    kernel: Object,
    /// Number of work items in a work-group.
    group: usize,
}

impl Lane {
    /// Makes a lane. Its batches have at most `capacity` tiles if their bytes already lie on the device, or
    /// `host_capacity` tiles if they are copied from the host.
    pub(super) fn new(device: &Device, capacity: usize, host_capacity: usize) -> Outcome<Lane> {
        let queue = queue(device)?;
        let buffer = |size| buffer(device, opencl::MEM_READ_WRITE, size);
        let what = "reserving memory for results";
        let fetched = try_filled(0, capacity * RESULT_BYTES).map_err(|_| Failure::no_memory(what))?;
        Ok(Lane {
            queue,
            chunks: Kernel::new(device, c"chunks")?,
            groups: Kernel::new(device, c"groups")?,
            parents: Kernel::new(device, c"parents")?,
            input: None,
            places: buffer(capacity * PLACE_BYTES)?,
            values: buffer(capacity * CHUNKS * VALUE_BYTES)?,
            nodes: buffer(capacity * RESIDUES * VALUE_BYTES)?,
            above: buffer(capacity * RESIDUES / JOINED * VALUE_BYTES)?,
            sums: buffer(capacity * CHUNKS * 4)?,
            results: buffer(capacity * RESULT_BYTES)?,
            fetched,
            fetched_groups: Vec::new(),
            capacity,
            host_capacity,
            is_warm: false,
            running: None,
        })
    }

    /// Starts a batch: copies its bytes to the device, unless they already lie there, and enqueues the kernels and the
    /// copy of the results to the host.
    ///
    /// After an error the lane must be [`finish`](Self::finish)ed and dropped.
    pub(super) fn start(&mut self, device: &Device, batch: &Batch<'_>) -> Outcome<()> {
        let lens = match batch.strings {
            Strings::Host(strings) => try_collect(strings.iter().map(|string| string.len())),
            Strings::Device { ranges, .. } => try_collect(ranges.iter().map(|(_, len)| *len)),
        };
        let lens = lens.map_err(|_| Failure::no_memory("starting a batch"))?;
        let (count, longest) = (lens.len(), lens.iter().copied().max().unwrap_or(0));
        if count > self.capacity || longest > MAX_LEN {
            return Err(Failure::new("starting a batch that is too large", opencl::INVALID_VALUE));
        }
        let (bytes, places) = match batch.strings {
            Strings::Host(strings) => self.upload(device, strings)?,
            Strings::Device { buffer, ranges } => (buffer.handle(), places(ranges)?),
        };
        self.write(device, self.places.handle(), 0, &places)?;
        // A keyed digest has its key in the place of the initial value, and another mode.
        let mut words = Zeroizing::new(INITIAL);
        let mode = match batch.key {
            Some(key) => {
                for (word, bytes) in words.iter_mut().zip(key.as_chunks::<4>().0) {
                    *word = u32::from_le_bytes(*bytes);
                }
                KEYED
            }
            None => 0,
        };
        let key: &[u32; 8] = &words;
        let tiles = number(count);
        let (places, sums, results) = (self.places.handle(), self.sums.handle(), self.results.handle());
        let (values, nodes, above) = (self.values.handle(), self.nodes.handle(), self.above.handle());
        // All chunks, in as many items as the longest string has for each.
        let width = longest.div_ceil(CHUNK).max(1);
        let chunk_width = number(width);
        let call = self.chunks.call(device).buffer(bytes)?.buffer(places)?.value(&tiles)?;
        let call = call.value(&chunk_width)?.value(key)?.value(&mode)?;
        call.buffer(values)?.buffer(sums)?.buffer(results)?.enqueue(&self.queue, count * width)?;
        // The groups of all strings.
        let call = self.groups.call(device).buffer(places)?.value(&tiles)?.value(&number(RESIDUES))?;
        let call = call.value(&chunk_width)?.value(key)?.value(&mode)?.buffer(values)?.buffer(sums)?;
        call.buffer(nodes)?.buffer(results)?.enqueue(&self.queue, count * RESIDUES)?;
        // Their chaining values come back before the tree takes their places.
        if batch.with_groups {
            let len = count * RESIDUES * VALUE_BYTES;
            if self.fetched_groups.len() < len {
                let what = "reserving memory for chaining values";
                self.fetched_groups = try_filled(0, len.max(self.host_capacity * RESIDUES * VALUE_BYTES))
                    .map_err(|_| Failure::no_memory(what))?;
            }
            let out = self.fetched_groups.as_mut_ptr();
            // SAFETY: room for `len` bytes, which stays in place like that of the results.
            drop(unsafe { self.fetch(device, nodes, out, len) }?);
        }
        // The rest of the tree, as far as the longest string has one.
        let levels = [(GROUP, nodes, RESIDUES, above), (GROUP * JOINED, above, RESIDUES / JOINED, nodes)];
        for (size, from, from_width, to) in levels {
            if longest > size {
                let width = from_width / JOINED;
                let call = self.parents.call(device).buffer(places)?.value(&tiles)?;
                let call = call.value(&number(size / CHUNK))?.value(&number(from_width))?;
                let call = call.value(&number(width))?.value(key)?.value(&mode)?;
                let call = call.buffer(from)?.buffer(to)?.buffer(results)?;
                call.enqueue(&self.queue, count * width)?;
            }
        }
        // The results come back by themselves.
        let out = self.fetched.as_mut_ptr();
        // SAFETY: room for the results of all strings. It stays in place until the event is waited for or the queue
        // is finished, which every way out of a lane does.
        let event = unsafe { self.fetch(device, results, out, count * RESULT_BYTES) }?;
        self.running = Some(Started { lens, with_groups: batch.with_groups, event });
        let cl = device.opencl;
        // SAFETY: a live queue.
        check("sending a batch to the device", unsafe { (cl.flush)(self.queue.handle()) })
    }

    /// Enqueues a read of `len` bytes from the start of the buffer `from` to `out`, and returns its event.
    ///
    /// # Safety
    ///
    /// `out` is writable for `len` bytes until the event has ended or the queue is finished.
    unsafe fn fetch(&self, device: &Device, from: Handle, out: *mut u8, len: usize) -> Outcome<Object> {
        let (mut event, cl) = (ptr::null_mut(), device.opencl);
        // SAFETY: live objects, and as the caller promises.
        let status = unsafe {
            let (queue, event) = (self.queue.handle(), &raw mut event);
            (cl.enqueue_read)(queue, from, opencl::FALSE, 0, len, out.cast(), 0, ptr::null(), event)
        };
        // SAFETY: an event that was made here.
        unsafe { Object::made(cl, "fetching the results", (event, status), cl.release_event) }
    }

    /// Copies `strings` to the input buffer on the device. Returns the buffer, and the positions of the tiles
    /// in it as the kernels read them.
    fn upload(&mut self, device: &Device, strings: &[&[u8]]) -> Outcome<(Handle, Vec<u8>)> {
        let (mut at, size) = (0, self.host_capacity * MAX_LEN);
        let input = match self.input.take() {
            Some(input) => input,
            None => buffer(device, opencl::MEM_READ_ONLY, size)?,
        };
        let input = self.input.insert(input).handle();
        let no_memory = |_| Failure::no_memory("copying a batch");
        let mut found = try_vec(strings.len()).map_err(no_memory)?;
        for string in strings {
            // MAX_LEN is a multiple of the alignment, so that each string has room.
            if size - at < string.len() {
                return Err(Failure::new("copying a batch that is too large", opencl::INVALID_VALUE));
            }
            self.write(device, input, at, string)?;
            found.push((at as u64, string.len()));
            at += string.len().next_multiple_of(ALIGNMENT);
        }
        Ok((input, places(&found)?))
    }

    /// Writes `bytes` to a device buffer at `offset`. Returns when the driver no longer needs `bytes`.
    fn write(&self, device: &Device, buffer: Handle, offset: usize, bytes: &[u8]) -> Outcome<()> {
        // OpenCL refuses a copy of nothing.
        if bytes.is_empty() {
            return Ok(());
        }
        let (queue, from) = (self.queue.handle(), bytes.as_ptr().cast());
        // SAFETY: a live buffer with room for the bytes, which are read before the call returns.
        let status = unsafe {
            let write = device.opencl.enqueue_write;
            write(queue, buffer, opencl::TRUE, offset, bytes.len(), from, 0, ptr::null(), ptr::null_mut())
        };
        check("copying bytes to the device", status).map_err(Failure::of_allocation)
    }

    /// Returns true if the batch has ended, with results or a failure, or if there is none.
    pub(super) fn is_done(&self, device: &Device) -> bool {
        let Some(Started { event, .. }) = &self.running else { return true };
        let name = opencl::EVENT_COMMAND_EXECUTION_STATUS;
        let status = device.opencl.value::<i32>(device.opencl.event_info, event.handle(), name);
        status.is_ok_and(|status| status <= 0)
    }

    /// Waits for the end of the batch, and returns its results in the order of the tiles.
    pub(super) fn wait(&mut self, device: &Device) -> Outcome<Vec<Hashed>> {
        let (what, cl) = ("waiting for a batch", device.opencl);
        let Some(Started { lens, with_groups, event }) = self.running.take() else { return Ok(Vec::new()) };
        let handle = event.handle();
        // SAFETY: a live event. Its end is the end of all writes to `fetched`.
        let waited = check(what, unsafe { (cl.wait_for_events)(1, &raw const handle) });
        // The status of the event is more exact than that of the wait.
        let status = cl.value::<i32>(cl.event_info, handle, opencl::EVENT_COMMAND_EXECUTION_STATUS)?;
        if status < 0 {
            return Err(Failure::new(what, status));
        }
        waited?;
        // A driver whose event goes on after the wait is broken: it may still write to `fetched`.
        if status > 0 {
            return Err(Failure::new(what, opencl::INVALID_VALUE));
        }
        let no_memory = |_| Failure::no_memory(what);
        let mut found = try_vec(lens.len()).map_err(no_memory)?;
        for (index, (len, result)) in
            lens.into_iter().zip(self.fetched.chunks_exact(RESULT_BYTES)).enumerate()
        {
            // A string of one group has no chaining values.
            let count = if with_groups && len > GROUP { len.div_ceil(GROUP) } else { 0 };
            let values = self.fetched_groups.as_chunks::<VALUE_BYTES>().0.iter();
            let values = values.skip(index * RESIDUES).take(count).copied();
            found.push(Hashed::of(result, try_collect(values).map_err(no_memory)?));
        }
        self.is_warm = self.input.is_some();
        Ok(found)
    }

    /// Waits until the queue is idle, so that the device refers to no memory of this lane. Returns false on
    /// failure; memory that the device may still write to is then never freed.
    pub(super) fn finish(&mut self, device: &Device) -> bool {
        self.running = None;
        // SAFETY: a live queue.
        let is_idle = unsafe { (device.opencl.finish)(self.queue.handle()) == opencl::SUCCESS };
        // Nothing else says that the device is done with this memory, so that it is never freed.
        if !is_idle {
            std::mem::forget(std::mem::take(&mut self.fetched));
            std::mem::forget(std::mem::take(&mut self.fetched_groups));
        }
        is_idle
    }
}

impl Hashed {
    fn of(result: &[u8], groups: Vec<[u8; VALUE_BYTES]>) -> Hashed {
        let mut hashed = Hashed { digest: [0; 32], residues: [0; RESIDUES], groups };
        let (digest, residues) = result.split_at(32);
        hashed.digest.copy_from_slice(digest);
        hashed.residues.copy_from_slice(residues);
        hashed
    }
}

/// Converts a number of items, which is far below 2^32.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Returns the positions of tiles (offset, length) as the kernels read them: 16 bytes each.
fn places(ranges: &[(u64, usize)]) -> Outcome<Vec<u8>> {
    let no_memory = |_| Failure::no_memory("copying a batch");
    let mut bytes = try_vec(ranges.len() * PLACE_BYTES).map_err(no_memory)?;
    for (offset, len) in ranges {
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&u64::from(number(*len)).to_le_bytes());
    }
    Ok(bytes)
}

pub(super) fn queue(device: &Device) -> Outcome<Object> {
    let (cl, mut status) = (device.opencl, 0);
    let out = &raw mut status;
    // SAFETY: a live context and a device of it. The queue executes in order.
    let made = unsafe { (cl.create_queue)(device.context.handle(), device.device.handle(), 0, out) };
    // SAFETY: a queue that was made here.
    unsafe { Object::made(cl, "creating a queue", (made, status), cl.release_queue) }
}

pub(super) fn buffer(device: &Device, flags: u64, size: usize) -> Outcome<Object> {
    let (cl, mut status) = (device.opencl, 0);
    let out = &raw mut status;
    // SAFETY: a live context, and no memory of the host.
    let made = unsafe { (cl.create_buffer)(device.context.handle(), flags, size, ptr::null_mut(), out) };
    // SAFETY: a buffer that was made here.
    unsafe { Object::made(cl, "allocating memory of the device", (made, status), cl.release_mem) }
        .map_err(Failure::of_allocation)
}

impl Kernel {
    fn new(device: &Device, name: &CStr) -> Outcome<Kernel> {
        let (cl, mut status) = (device.opencl, 0);
        let out = &raw mut status;
        // SAFETY: a compiled program, and a name that ends with 0.
        let made = unsafe { (cl.create_kernel)(device.program.handle(), name.as_ptr(), out) };
        // SAFETY: a kernel that was made here.
        let kernel = unsafe { Object::made(cl, "creating a kernel", (made, status), cl.release_kernel) }?;
        let (mut most, name) = (0usize, opencl::KERNEL_WORK_GROUP_SIZE);
        // SAFETY: live objects, and room for a number.
        let status = unsafe {
            let place = (&raw mut most).cast();
            let size = size_of::<usize>();
            (cl.kernel_work_group_info)(
                kernel.handle(),
                device.device.handle(),
                name,
                size,
                place,
                ptr::null_mut(),
            )
        };
        check("asking for the size of a work-group", status)?;
        Ok(Kernel { kernel, group: most.clamp(1, GROUP_ITEMS) })
    }

    /// Begins a launch of the kernel. The caller then sets its arguments in order.
    fn call<'k>(&'k mut self, device: &'k Device) -> Call<'k> {
        Call { kernel: self, device, arguments: 0 }
    }
}

/// A launch of a kernel whose arguments are being set. It borrows the kernel exclusively, because a kernel has
/// one set of arguments.
struct Call<'k> {
    kernel: &'k mut Kernel,
    device: &'k Device,
    arguments: u32,
}

impl Call<'_> {
    /// Sets the next argument of the kernel to `value`.
    fn value<T: Copy>(mut self, value: &T) -> Outcome<Self> {
        let (kernel, size) = (self.kernel.kernel.handle(), size_of::<T>());
        // SAFETY: a live kernel; the value is copied. OpenCL refuses a size that is not the argument's.
        let status = unsafe {
            (self.device.opencl.set_arg)(kernel, self.arguments, size, ptr::from_ref(value).cast())
        };
        check("setting an argument of a kernel", status)?;
        self.arguments += 1;
        Ok(self)
    }

    /// Sets the next argument of the kernel to a buffer.
    fn buffer(self, buffer: Handle) -> Outcome<Self> {
        self.value(&buffer)
    }

    fn enqueue(self, queue: &Object, items: usize) -> Outcome<()> {
        let group = self.kernel.group;
        // The kernels skip the items that round the number up.
        let global = items.next_multiple_of(group);
        let (kernel, local) = (self.kernel.kernel.handle(), &raw const group);
        // SAFETY: live objects, one dimension, all arguments set.
        let status = unsafe {
            let enqueue = self.device.opencl.enqueue_kernel;
            let (offset, waits, event) = (ptr::null(), ptr::null(), ptr::null_mut());
            enqueue(queue.handle(), kernel, 1, offset, &raw const global, local, 0, waits, event)
        };
        check("starting a kernel", status)
    }
}
