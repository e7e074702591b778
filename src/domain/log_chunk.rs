//! Chunks of logs, each compressed by itself, so that a reader unpacks no more than it needs.

use std::io::{self, Read, Write};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

/// Upper bound in bytes of one chunk, so that reading a slice never unpacks much more than it needs.
pub const CHUNK: usize = 256 * 1024;

/// Compresses a chunk.
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("writing to a vector cannot fail")
}

/// Decompresses a chunk, for which `length` bytes are expected.
///
/// # Errors
/// Fails if the bytes are not what [`pack`] returned.
pub fn unpack(body: &[u8], length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length.min(CHUNK));
    ZlibDecoder::new(body).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_comes_back_as_it_was_and_rubbish_does_not() {
        let bytes = b"step 1/7\n".repeat(1000);
        let packed = pack(&bytes);
        assert!(packed.len() < bytes.len() / 10);
        assert_eq!(unpack(&packed, bytes.len()).expect("it was packed whole"), bytes);
        assert!(unpack(&packed[..packed.len() / 2], bytes.len()).is_err());
        assert!(unpack(b"plain", 5).is_err());
    }
}
