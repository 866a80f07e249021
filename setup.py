"""The one part of the build that pyproject.toml cannot say: the optional C kernel, built once for every Python >= 3.11."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "pyxet.protocol._gear",
            sources=["pyxet/protocol/_gear.c", "pyxet/protocol/_crc64.c"],
            depends=["pyxet/protocol/_crc64.h"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            py_limited_api=True,
            # Without a compiler the package still installs; numpy computes the same values.
            optional=True,
            extra_compile_args=["-O3"],
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
