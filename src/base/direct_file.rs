//! A file that is read with O_DIRECT, past the page cache: returns the bytes on the disk, also if the cache
//! differs.

#![forbid(unsafe_code)]

use super::buffer::Buffer;
use super::descriptor;
use super::out_bytes::OutBytes;
use super::storage::Storage;
use super::units::{to_u64, to_usize};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

/// Alignment of offsets, sizes and addresses of reads past the page cache. Disks require 512 or 4,096.
const ALIGNMENT: usize = 4_096;
/// Maximum number of bytes of a read past the page cache.
const WINDOW: usize = 1 << 20;

/// An open file that is read with O_DIRECT, past the page cache. The system writes dirty pages back before
/// each read.
pub(crate) struct DirectFile {
    file: File,
}

impl DirectFile {
    /// Opens the file once more with O_DIRECT. `None` if the file system or the operating system does not
    /// support such reads.
    pub(crate) fn of(file: &File) -> Option<DirectFile> {
        // O_DIRECT belongs to an open file, so that the file is opened again.
        let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
        let options = File::options().read(true).custom_flags(libc::O_DIRECT).clone();
        let file = descriptor::open(&options, itself.as_ref()).ok()?;
        let direct = DirectFile { file };
        // A file system may accept the flag and refuse the reads, so that a read is tried.
        let mut byte = [0];
        match direct.read_at(0, OutBytes::new(&mut byte)) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => None,
            _ => Some(direct),
        }
    }

    /// Fills at least `len` bytes of `window` with the bytes of the file from `offset` on, a multiple of 4,096. Fails
    /// with `UnexpectedEof` if the file has fewer than `len` bytes there.
    fn read_window(&self, offset: u64, window: &mut [u8], len: usize) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            // A read that ends unaligned has reached the end of the file, and nothing follows it.
            match self.file.read_at(&mut window[done..], offset + to_u64(done)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) if done + read < len && !read.is_multiple_of(ALIGNMENT) => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Storage for DirectFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, mut offset: u64, mut out: OutBytes<'_>) -> io::Result<()> {
        let no_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        // The memory is aligned like the reads, and larger than the requested bytes.
        let most = (out.len() + 2 * ALIGNMENT).next_multiple_of(ALIGNMENT).min(WINDOW);
        let mut memory = Buffer::zeros(most + ALIGNMENT).map_err(no_memory)?;
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        while !out.is_empty() {
            // Each window begins and ends at aligned offsets around the requested bytes.
            let before = to_usize(offset % to_u64(ALIGNMENT));
            let take = out.len().min(most - before);
            let end = (before + take).next_multiple_of(ALIGNMENT);
            let window = &mut memory[start..start + end];
            self.read_window(offset - to_u64(before), window, before + take)?;
            out.split_off_front(take).copy_from(&window[before..before + take]);
            offset += to_u64(take);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file on a disk: in the folder of the build, as temporary ones may lie in memory.
    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn every_range_is_that_of_the_file() {
        let bytes: Vec<u8> = (0..WINDOW + 3 * ALIGNMENT + 77).map(|i| (i * 7 + i / 251) as u8).collect();
        let file = file(&bytes);
        let Some(direct) = DirectFile::of(&file) else { return };
        assert_eq!(direct.len().unwrap(), bytes.len() as u64);
        let ends = [0, 1, 511, ALIGNMENT - 1, ALIGNMENT, ALIGNMENT + 1, WINDOW - 1, WINDOW + 9, bytes.len()];
        for start in ends {
            for end in ends.into_iter().filter(|end| *end >= start) {
                let mut read = vec![0; end - start];
                direct.read_at(start as u64, OutBytes::new(&mut read)).unwrap();
                assert!(read == bytes[start..end], "{start}..{end}");
            }
            let mut read = vec![0; bytes.len() + 1 - start];
            let ended = direct.read_at(start as u64, OutBytes::new(&mut read)).unwrap_err();
            assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof, "{start}");
        }
        assert!(direct.write_at(0, b"x").is_err() && direct.set_len(0).is_err());
    }

    #[test]
    fn an_empty_file_has_a_medium_too() {
        let file = file(&[]);
        if let Some(direct) = DirectFile::of(&file) {
            assert_eq!(direct.len().unwrap(), 0);
            direct.read_at(0, OutBytes::new(&mut [])).unwrap();
        }
    }
}
