/* Functions that are shared between the kernels (`_gear.c`), framing (`_blocks.c`) and decoding (`_unblocks.c`). */

#ifndef PYXET_BLOCKS_H
#define PYXET_BLOCKS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

void pyxet_split(const uint8_t *in, uint8_t *out, Py_ssize_t size);
void pyxet_join(const uint8_t *in, uint8_t *out, Py_ssize_t size);
PyObject *pyxet_encode(PyObject *module, PyObject *args);
PyObject *pyxet_decode(PyObject *module, PyObject *args);
PyObject *pyxet_room(PyObject *module, PyObject *size);

#define PYXET_ENCODE_DOC                                                                                                \
    "encode(pieces, lz4, room=None, /)\n--\n\n"                                                                         \
    "Encode chunks as they are stored in a xorb. Returns (block, ends). `lz4` has the addresses of four functions of\n" \
    "liblz4: LZ4_createStream, LZ4_resetStream, LZ4_compress_fast_continue, LZ4_freeStream. The block is `room`, a\n"  \
    "bytearray, if the chunks fit into it."

#define PYXET_DECODE_DOC                                                                                                \
    "decode(data, at, memory, used, most, budget, lz4, /)\n--\n\n"                                                      \
    "Decode the chunks of `data`, a piece of a xorb, from offset `at` on. Returns (chunks, at, used, needed). A chunk is\n" \
    "(its offset in `memory`, or -1 - its offset in `data`; its length; its length as stored). Decoding stops before a\n"  \
    "chunk that is incomplete or not valid, after `most` chunks or `budget` bytes, or when `memory` is full, of which the\n" \
    "first `used` bytes are taken; `needed` is then how much memory the next chunks need. `lz4` is the address of\n"      \
    "LZ4_decompress_safe."

#define PYXET_ROOM_DOC "room(size, /)\n--\n\nMake a bytearray without initializing it, so that its memory is not touched yet."

#endif
