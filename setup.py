"""Compile the hot loops; everything else about the build is in pyproject.toml."""

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

extensions = cythonize(
    [
        Extension(path.removesuffix(".py").replace("/", "."), [path], extra_compile_args=["-O3"])
        for path in HOT
    ],
    build_dir="build/cython",
    language_level=3,
    compiler_directives={"cdivision": True, "initializedcheck": False, "wraparound": False},
)
for extension in extensions:
    # Where no C compiler is, the installation succeeds and the `.py` files are used. Set here: cythonize forgets it.
    extension.optional = True

setup(ext_modules=extensions)
