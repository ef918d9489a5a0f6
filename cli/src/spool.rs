//! Standard input copied to a temporary file, so that it can be read by position.

use crate::context::Ctx;
use crate::output::Staged;
use crate::signals;
use crate::status::{Failure, Res};
use std::io::{self, Write};
use std::path::Path;

/// A temporary file with the bytes of standard input, removed on drop.
pub(crate) struct Spool {
    staged: Staged,
}

impl Spool {
    /// Copies standard input to a temporary file in the folder of `beside`.
    pub(crate) fn stdin(ctx: &Ctx, beside: &Path) -> Res<Spool> {
        let staged = Staged::new(beside, true, &[])?;
        let mut file = staged.create()?;
        ctx.detail("reading standard input into a temporary file");
        let mut input = io::stdin().lock();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match signals::read(&mut input, &mut buffer) {
                Ok(0) => return Ok(Spool { staged }),
                Ok(read) => file
                    .write_all(&buffer[..read])
                    .map_err(|error| Failure::io("writing a temporary file beside", beside, &error))?,
                Err(error) => return Err(Failure::io("reading", Path::new("-"), &error)),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.staged.path()
    }
}
