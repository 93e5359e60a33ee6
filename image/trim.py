"""Prepares the Python environment of the image: `python trim.py FOLDER`, with the environment's own Python.

It imports every module of vmguard. Generated modules of the Kubernetes client that are not loaded then are deleted:
the client imports them by name on demand, and nothing demands them. What is left is compiled to byte-code, as the root
of a container is read-only. The modules of the standard library that vmguard loads are compiled too, into FOLDER, with
their paths below it: the official Python images have no byte-code. Byte-code is not checked against its source.
"""

import compileall
import importlib
import importlib.util
import pkgutil
import py_compile
import shutil
import sys
import sysconfig
from pathlib import Path

UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
PACKAGES = ("webhook", "certs")
GENERATED = ("client/api", "client/models", "aio/client/api", "aio/client/models")
"""Folders of the package `kubernetes`."""


def main(folder: Path) -> None:
    """Change the environment that runs this."""
    packages, library = (Path(sysconfig.get_path(name)) for name in ("purelib", "stdlib"))
    _import_all()
    loaded = {Path(module.__file__) for module in tuple(sys.modules.values()) if getattr(module, "__file__", None)}
    for path in (path for name in GENERATED for path in (packages / "kubernetes" / name).glob("*.py")):
        if path not in loaded:
            path.unlink()
    for tests in [path for path in packages.rglob("tests") if path.is_dir()]:
        shutil.rmtree(tests)
    if not compileall.compile_dir(packages, quiet=1, workers=0, invalidation_mode=UNCHECKED):
        sys.exit("a module could not be compiled")
    for path in loaded:
        if path.suffix == ".py" and path.is_relative_to(library) and not path.is_relative_to(packages):
            target = folder / Path(importlib.util.cache_from_source(str(path))).relative_to("/")
            py_compile.compile(str(path), str(target), doraise=True, invalidation_mode=UNCHECKED)


def _import_all() -> None:
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
