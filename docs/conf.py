"""How the documentation is made: ``nox -s docs``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from pyxet import __version__

project = "pyxet"
author = "The pyxet developers"
project_copyright = "The pyxet developers"
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "reference",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
default_role = "py:obj"
nitpicky = False  # docstrings name options and parts of other libraries in the same quotes

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # pages include parts, some of which start below the second level
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True
napoleon_google_docstring = False
autodoc_mock_imports = ["ray", "dask", "distributed", "polars"]
napoleon_use_rtype = False

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 120
nb_execution_show_tb = True

html_theme = "furo"
html_title = f"pyxet {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": "",
    "navigation_with_keys": True,
}
if os.environ.get("READTHEDOCS_VERSION_NAME") == "latest":
    html_theme_options["announcement"] = (
        "This is the documentation of the development version. The released one is under “stable”."
    )
