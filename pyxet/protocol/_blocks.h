/* What the kernels share with the framing and the decoding of runs. */

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
    "Chunks as a xorb holds them, one behind the other: (block, ends). `lz4` has the addresses of four functions of\n"  \
    "liblz4: LZ4_createStream, LZ4_resetStream, LZ4_compress_fast_continue, LZ4_freeStream. The block is `room`, a\n"  \
    "bytearray, if they fit into it."

#define PYXET_DECODE_DOC                                                                                                \
    "decode(data, at, memory, used, most, budget, lz4, /)\n--\n\n"                                                      \
    "The chunks of a piece of a xorb from an offset on: (chunks, at, used, needed). A chunk is (where it is in `memory`,\n" \
    "or -1 - where it is in `data`; bytes; bytes as stored). It stops before what it does not take, more than `most`\n"   \
    "chunks or `budget` bytes; or where `memory` is full behind `used`: then `needed` is what is missing. `lz4` is the\n" \
    "address of LZ4_decompress_safe."

#define PYXET_ROOM_DOC "room(size, /)\n--\n\nA bytearray whose bytes nobody has written to: its memory is not touched yet."

#endif
