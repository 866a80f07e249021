"""Write pyxet/_async/fs/blocking.pyi, the blocking methods as type checkers and editors see them: python docs/make_blocking.py.

`XetFS` makes each blocking method from a coroutine when it is imported, which no type checker can follow.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from pyxet import AsyncXetFileSystem, XetFS

STUB = Path(inspect.getfile(AsyncXetFileSystem)).with_name("blocking.pyi")
_START = '''\
"""The blocking methods of `XetFS`, for type checkers and editors. Made by `python docs/make_blocking.py`.

Each is the coroutine of the same name with an underscore, and takes ``timeout`` (seconds) as well.
"""

'''
_WIDTH = 120
_ITERATORS = ("AsyncIterator", "AsyncGenerator")


def stub() -> str:
    """The whole file."""
    imports: dict[str, set[str]] = {}
    body: list[str] = []
    for name, member in vars(XetFS).items():
        kind = type(member).__name__
        if kind.startswith("Blocking"):
            body += _method(name, member.coroutine, imports)
        elif kind == "Alias":
            # Not ``stat = info``: pyright would take the type of such a name from fsspec.
            body += _method(name, vars(XetFS)[member.target].coroutine, imports, also=member.target)
    imports.setdefault("pyxet._async.fs.filesystem", set()).add("AsyncXetFileSystem")
    lines = [f"import {module}" for module, names in sorted(imports.items()) if not names]
    lines += [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items()) if names]
    return "\n".join([_START + "\n".join(lines), "", "class BlockingMethods(AsyncXetFileSystem):", *body])


def _method(name: str, coroutine: str, imports: dict[str, set[str]], also: str = "") -> Iterator[str]:
    """A method as text, with the overloads that its coroutine has; ``also`` is the method that it is another name of."""
    owner = next(kind for kind in AsyncXetFileSystem.__mro__ if coroutine in vars(kind))
    module = sys.modules[owner.__module__]
    tree = ast.parse(inspect.getsource(module))
    known = _imported(tree, owner.__module__)
    [class_] = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner.__name__)
    found = [
        node
        for node in class_.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == coroutine
    ]
    overloads = [node for node in found if any(ast.unparse(mark) == "overload" for mark in node.decorator_list)]
    words = _words(f"Another name of `{also}`." if also else vars(owner)[coroutine].__doc__ or "")
    imports.setdefault("typing", set()).update(["overload"] if overloads else [])
    for node in overloads or found:
        _blocking(node)
        for annotation in _annotations(node):
            for part in ast.walk(annotation):
                if isinstance(part, ast.Name) and part.id in known:
                    origin, imported = known[part.id]
                    imports.setdefault(origin, set()).update([imported] if imported else [])
        if overloads:
            yield "    @overload"
        yield _signature(name, node) + (f"\n{words}\n" if node is found[0] else " ...")


def _blocking(node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Turn a coroutine's definition into that of the method: its return type, and the added ``timeout``."""
    returns = node.returns
    if isinstance(returns, ast.Subscript) and ast.unparse(returns.value) in _ITERATORS:
        item = returns.slice.elts[0] if ast.unparse(returns.value) == _ITERATORS[1] else returns.slice  # type: ignore[attr-defined]  # a tuple
        node.returns = ast.parse(f"Generator[{ast.unparse(item)}, None, None]", mode="eval").body
    node.args.kwonlyargs.append(ast.arg("timeout", ast.parse("float | None", mode="eval").body))
    node.args.kw_defaults.append(ast.Constant(None))
    node.args.defaults = [_default(value) for value in node.args.defaults]
    node.args.kw_defaults = [value and _default(value) for value in node.args.kw_defaults]


def _default(value: ast.expr) -> ast.expr:
    return value if isinstance(value, ast.Constant) else ast.Constant(...)


def _annotations(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    for part in ast.walk(node.args):
        if isinstance(part, ast.arg) and part.annotation is not None:
            yield part.annotation
    assert node.returns is not None, f"{node.name} says nothing about what it returns"
    yield node.returns


def _signature(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    assert node.returns is not None
    arguments, returned = ast.unparse(node.args), ast.unparse(node.returns)
    line = f"    def {name}({arguments}) -> {returned}:"
    if len(line) <= _WIDTH:
        return line
    # Commas between arguments, not those inside brackets.
    parts = re.findall(r"(?:[^,\[]|\[(?:[^\[\]]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])*\])+", arguments)
    inside = "".join(f"        {part.strip()},\n" for part in parts)
    return f"    def {name}(\n{inside}    ) -> {returned}:"


def _words(told: str) -> str:
    """A docstring as it is in the class, with the names of coroutines replaced by those of the methods."""
    text = re.sub(r"`_(\w+)`", r"`\1`", inspect.cleandoc(told))
    end = "\n" if "\n" in text else ""
    raw = "r" if "\\" in text else ""
    return textwrap.indent(f'{raw}"""{text}{end}"""', " " * 8, lambda line: bool(line.strip()))


def _imported(tree: ast.Module, module: str) -> dict[str, tuple[str, str]]:
    """Where the names in a module are imported from: the modules, and the names in them unless it is the module itself."""
    found = {"Generator": ("collections.abc", "Generator")}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {alias.name: (node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name: (alias.name, "") for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = (module, node.target.id)
    return found


if __name__ == "__main__":
    STUB.write_text(stub())
