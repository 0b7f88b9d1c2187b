"""Compile the hot loops; everything else about the build is in pyproject.toml."""

import os
import subprocess
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

# Plain Python modules that also run uncompiled, slower.
HOT = [
    "analyzer/capture/encapsulation.py",
    "analyzer/capture/flowtable.py",
    "analyzer/capture/scan.py",
    "analyzer/capture/splitting.py",
    "analyzer/capture/walk.py",
    "analyzer/conntrack/ageing.py",
    "analyzer/flow/grouping.py",
    "analyzer/flow/joining.py",
    "analyzer/flow/selecting.py",
    "analyzer/flow/tally.py",
    "analyzer/nat/pairing.py",
]

# What Cython puts into every module that has a memoryview: compiled once, the build takes a quarter of the time.
SHARED = "analyzer.capture._memoryviews"
SHARED_C = Path(f"build/cython/{SHARED.replace('.', '/')}.c")
SHARED_C.parent.mkdir(parents=True, exist_ok=True)
subprocess.run([sys.executable, "-m", "cython", f"--generate-shared={SHARED_C}"], check=True)

FLAGS = {
    # Whoever sets CFLAGS chooses how much is optimised. Debug information would be 1 MB a module.
    "extra_compile_args": ["-g0"] if "CFLAGS" in os.environ else ["-g0", "-O3"],
    "extra_link_args": ["-Wl,--strip-all"],
}
extensions = [
    Extension(SHARED, [str(SHARED_C)], **FLAGS),
    *cythonize(
        [Extension(path.removesuffix(".py").replace("/", "."), [path], **FLAGS) for path in HOT],
        build_dir="build/cython",
        language_level=3,
        shared_utility_qualified_name=SHARED,
        compiler_directives={"cdivision": True, "initializedcheck": False, "wraparound": False},
    ),
]
for extension in extensions:
    # Where no C compiler is, the installation succeeds and the `.py` files are used. Set here: cythonize forgets it.
    extension.optional = True

setup(ext_modules=extensions, options={"build_ext": {"parallel": os.cpu_count()}})
