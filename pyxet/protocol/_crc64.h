/* CRC-64/NVME: the checksum of a xorb in a request for an upload grant.

   The polynomial is 0xad93d23594c93659; bits are reflected; the register starts with all bits set and is inverted at the end.
   Computed byte by byte, the checksum would be the slowest step of an upload. On processors with carry-less multiplication,
   eight lanes of 128 bits are folded forward at once: a block times x^n is congruent to the same block n bits earlier in the
   message, so earlier blocks can be added to later ones until 16 bytes are left. Other processors process eight bytes per
   step, with tables. The constants are powers of x and are computed at start. */

#ifndef PYXET_CRC64_H
#define PYXET_CRC64_H

#include <stddef.h>
#include <stdint.h>

/* Fills the tables. To be called once, before the first use. */
void pyxet_crc64_prepare(void);

/* Updates the register with more bytes and returns it. It starts as ~0; the checksum is the inverse of its last value. */
uint64_t pyxet_crc64_update(uint64_t crc, const uint8_t *data, size_t size);

#endif
