/* CRC-64/NVME: the checksum with which xorbs are announced for upload grants.

   The polynomial is 0xad93d23594c93659, bits are reflected, the register begins with ones and is inverted at the end. A
   byte at a time it would be the slowest step of an upload. So, where the processor multiplies without carries, eight
   lanes of 128 bits are folded forward at once: a block that is multiplied by x^n is congruent to the same block n bits
   earlier in the message, so what is in front may be added to what comes later until 16 bytes are left. Other processors
   take eight bytes a step from tables. The constants are computed, not copied: they are powers of x. */

#ifndef PYXET_CRC64_H
#define PYXET_CRC64_H

#include <stddef.h>
#include <stdint.h>

/* Once, before the first use. */
void pyxet_crc64_prepare(void);

/* Continue the register over some bytes. It begins as ~0, and the checksum is its inverse. */
uint64_t pyxet_crc64_update(uint64_t crc, const uint8_t *data, size_t size);

#endif
