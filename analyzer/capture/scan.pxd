# What the compiled loop takes from its neighbours as C; uncompiled, scan.py imports them.

from analyzer.capture.encapsulation cimport link_header, tunnel, unwrap
from analyzer.capture.flowtable cimport FlowTable
