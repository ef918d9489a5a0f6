//! Keys of 32 bytes that are wiped from memory after use.

use crate::base::stack;
use std::ops::Deref;
use zeroize::Zeroizing;

/// A key of 32 bytes, which is wiped when it is dropped. The key lies on the heap, because a move of a value leaves
/// its bytes in the old place, where no drop wipes them. Code that reads the key copies it to the stack, which is
/// therefore wiped after the call.
pub(crate) struct Key(Box<Zeroizing<[u8; 32]>>);

impl Clone for Key {
    fn clone(&self) -> Key {
        // From heap to heap: a derived clone would copy the value through the stack.
        Key::new(self)
    }
}

impl Key {
    pub(crate) fn new(bytes: &[u8; 32]) -> Key {
        // The bytes are copied directly to the heap, without a copy on the stack.
        let mut key = Box::new(Zeroizing::new([0; 32]));
        key.copy_from_slice(bytes);
        Key(key)
    }

    /// Returns the key that BLAKE3 derives from `key` in derive-key mode with the context string `context`.
    pub(crate) fn derived(context: &str, key: &[u8; 32]) -> Key {
        stack::note_key();
        Key::new(&Zeroizing::new(blake3::derive_key(context, key)))
    }
}

impl Deref for Key {
    type Target = [u8; 32];

    fn deref(&self) -> &[u8; 32] {
        stack::note_key();
        &self.0
    }
}
