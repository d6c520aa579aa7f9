//! Which partition a key goes to, as every producer of the system computes it.
//!
//! The hash is the 32-bit MurmurHash2 with the seed and the sign handling of Apache Kafka's Java
//! client (`org.apache.kafka.common.utils.Utils.murmur2`, `toPositive`).

/// The partition of a key among `partitions`.
#[must_use]
pub fn partition(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// The share of these keys (0 to 1) that another number of partitions sends elsewhere; absent
/// without keys.
#[must_use]
pub fn moved_share<K: AsRef<[u8]>>(keys: &[K], from: u32, to: u32) -> Option<f64> {
    if keys.is_empty() {
        return None;
    }
    let moved =
        keys.iter().filter(|key| partition(key.as_ref(), from) != partition(key.as_ref(), to)).count();
    Some(moved as f64 / keys.len() as f64)
}

fn murmur2(data: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut value = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        value = value.wrapping_mul(MIX);
        value ^= value >> 24;
        hash = hash.wrapping_mul(MIX) ^ value.wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_java_client() {
        // Vectors of Apache Kafka's own UtilsTest.
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()), hash.cast_unsigned(), "{key}");
        }
    }

    #[test]
    fn the_same_number_moves_nothing() {
        let keys: Vec<_> = (0..1_000).map(|user| format!("user-{user}")).collect();
        assert_eq!(moved_share(&keys, 3, 3), Some(0.0));
        let moved = moved_share(&keys, 3, 10).unwrap();
        // Only hashes with the same rest by both stay: 3 of 30.
        assert!((0.86..0.94).contains(&moved), "{moved}");
        assert_eq!(moved_share::<&[u8]>(&[], 3, 10), None);
    }
}
