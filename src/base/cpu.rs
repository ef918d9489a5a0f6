//! Features of the processor, besides those that BLAKE3, the transform and Layer 2 detect themselves.

#![forbid(unsafe_code)]

/// Returns true if BLAKE3 hashes 16 chunks at a time here.
pub(crate) fn hashes_16_chunks() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}
