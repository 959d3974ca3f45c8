package copies

import (
	"hash/crc32"
	"math/bits"
)

// A checksum does not only tell that a bit has flipped, but also which: of all the bits of so few
// bytes, there is one that makes it right. So what has one wrong bit tells what it did.

// Corrected flips the one bit of some bytes that makes their checksum right, if there is one, or if
// it is a bit of the checksum that is wrong. It reports whether the bytes are right then.
func Corrected(b []byte, sum uint64) (ok bool) {
	want := uint32(sum)
	got := crc32.Checksum(b, castagnoli)
	if bits.OnesCount64(sum^uint64(got)) <= 1 {
		return true
	}
	if sum>>32 != 0 {
		return false
	}
	for bit := range 8 * len(b) {
		b[bit/8] ^= 1 << (bit % 8)
		if crc32.Checksum(b, castagnoli) == want {
			return true
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	return false
}
