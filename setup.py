"""The part of the build that pyproject.toml cannot describe: the optional C kernel, built once for every Python >= 3.11.

``PYXET_KERNEL`` controls the kernel: with ``required`` the build fails if the kernel cannot be built, as for published wheels;
``none`` leaves it out. Without the variable it is built if there is a compiler. A wheel without it is a pure Python wheel.
"""

import os
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

# Free-threaded builds of CPython have no limited API, so for them the kernel is built for one version.
LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")
WISH = os.environ.get("PYXET_KERNEL", "")
if WISH not in ("", "required", "none"):
    raise SystemExit(f"PYXET_KERNEL={WISH}: expected 'required' or 'none', or unset it")

kernel = Extension(
    "pyxet.protocol._gear",
    sources=[f"pyxet/protocol/{name}.c" for name in ("_gear", "_blocks", "_unblocks", "_crc64")],
    depends=["pyxet/protocol/_blocks.h", "pyxet/protocol/_crc64.h"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if LIMITED else [],
    py_limited_api=LIMITED,
    # Without a compiler the package still installs; numpy computes the same values.
    optional=WISH != "required",
)


def remove_built_kernels(package: Path) -> None:
    """Remove kernels of earlier builds, which may be for another Python: whatever is in the folder goes into the wheel."""
    for path in package.glob("_gear.*"):
        if path.suffix in (".so", ".pyd"):
            path.unlink()


class BuildExt(build_ext):
    """Compile for speed; if that fails, leave no kernel of an earlier build behind."""

    def build_extension(self, ext: Extension) -> None:
        remove_built_kernels(Path(self.get_ext_fullpath(ext.name)).parent)
        # Visual C++ optimizes for speed by default, and does not know -O3.
        if self.compiler.compiler_type != "msvc":
            ext.extra_compile_args = ["-O3"]
        super().build_extension(ext)


class BdistWheel(bdist_wheel):
    """Tag the wheel by what is in it: one without the kernel runs on every platform."""

    def run(self) -> None:
        if self.distribution.has_ext_modules():
            self.run_command("build_ext")
            if not all(Path(path).exists() for path in self.get_finalized_command("build_ext").get_outputs()):
                self._leave_the_kernel_out()
        if self.root_is_pure:
            remove_built_kernels(Path(self.get_finalized_command("build").build_lib, "pyxet", "protocol"))
        super().run()

    def _leave_the_kernel_out(self) -> None:
        self.distribution.ext_modules = []
        self.root_is_pure, self.py_limited_api = True, False
        for name in ("build", "build_py", "build_ext", "install", "install_lib"):
            self.reinitialize_command(name)


setup(
    ext_modules=[] if WISH == "none" else [kernel],
    cmdclass={"build_ext": BuildExt, "bdist_wheel": BdistWheel},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED and WISH != "none" else {},
)
